"""The unmodified `tritonclient` with a real server: both protocols, all kinds of calls."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from helpers.models.tiny_model import NOISE, TinyModel, some_particles, write_model
from helpers.servers.running_server import RunningServer
from zdc_detector.finish import Finish
from zdc_service.settings import ServerSettings
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import SimulationRequest, SimulationResult

CLIENT = Path(__file__).resolve().parents[2] / "helpers/callers/triton_client.py"
ROWS = 40
PARTICLES = some_particles(ROWS)
NUMBERS = np.random.default_rng(3).normal(size=(ROWS, NOISE)).astype(np.float32)

WAYS = [
    "http", "http_json", "http_compressed", "http_aio",
    "grpc", "grpc_async", "grpc_stream", "grpc_aio", "grpc_aio_stream",
]  # fmt: skip


def run_client(command: str, *arguments: str) -> Any:
    """Output of the program, in a process that does not import our messages."""
    done = subprocess.run(
        [sys.executable, str(CLIENT), command, *arguments], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def addresses(server: RunningServer) -> tuple[str, str]:
    return server.http.removeprefix("http://"), server.grpc


@dataclass(frozen=True)
class Answers:
    """Results of one kind of call."""

    way: str
    said: dict[str, Any]
    outputs: dict[str, np.ndarray]

    def of(self, question: str) -> tuple[np.ndarray, np.ndarray]:
        return self.outputs[f"{question} response"], self.outputs[f"{question} channels"]


@pytest.fixture(scope="module", params=WAYS)
def answers(request: pytest.FixtureRequest, server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    folder = tmp_path_factory.mktemp("triton")
    np.savez(folder / "in.npz", particles=PARTICLES.conditions, noise=NUMBERS, pdg=PARTICLES.pdg)
    files = str(folder / "in.npz"), str(folder / "out.npz")
    said = run_client("infer", request.param, *addresses(server), *files)
    with np.load(folder / "out.npz") as file:
        return Answers(request.param, said, dict(file))


def expected(simulator: Simulator, **changes: Any) -> SimulationResult:
    return simulator.simulate(replace(SimulationRequest(PARTICLES, seed=7, model="tiny"), **changes))


def check(found: tuple[np.ndarray, np.ndarray], wanted: SimulationResult) -> None:
    for array, numbers in zip(found, (wanted.response, wanted.channels), strict=True):
        assert numbers is not None
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, numbers)


def test_a_seed_gives_the_same_photons_as_in_process(answers: Answers, simulator: Simulator) -> None:
    check(answers.of("seeded"), expected(simulator, first_row=5))
    said = answers.said["seeded"]
    assert said["model"] == ["tiny", "2"]
    assert said["id"] == "seeded"
    assert said["outputs"] == ["response", "channels"]
    streamed = {"triton_final_response": True} if "stream" in answers.way else {}
    assert said["parameters"] == {"seed": 7, "first_row": 5, "finish": "poisson", **streamed}


def test_a_seed_that_was_drawn_is_returned(answers: Answers, simulator: Simulator) -> None:
    seed = answers.said["seedless"]["parameters"]["seed"]
    check(answers.of("seedless"), expected(simulator, seed=seed))


def test_noise_is_taken(answers: Answers, simulator: Simulator) -> None:
    wanted = expected(simulator, noise=NUMBERS)
    check(answers.of("noise"), wanted)
    assert not np.array_equal(wanted.channels, expected(simulator).channels)


def test_outputs_come_as_asked_for(answers: Answers, simulator: Simulator) -> None:
    wanted = expected(simulator)
    assert answers.said["channels"]["outputs"] == ["channels"]
    np.testing.assert_array_equal(answers.outputs["channels channels"], wanted.channels)
    assert answers.said["both"]["outputs"] == ["channels", "response"]
    check(answers.of("both"), wanted)


def test_rates(answers: Answers, simulator: Simulator) -> None:
    check(answers.of("rates"), expected(simulator, rates=True))
    assert answers.said["rates"]["parameters"]["finish"] == "none"


def test_versions_and_other_models(answers: Answers, simulator: Simulator) -> None:
    check(answers.of("version"), expected(simulator, version=1))
    assert answers.said["version"]["model"] == ["tiny", "1"]
    check(answers.of("strips"), expected(simulator, model="strips"))


def test_a_timeout_is_a_deadline(answers: Answers, simulator: Simulator) -> None:
    check(answers.of("patient"), expected(simulator))
    assert "deadline" in answers.said["hurried"]["error"]


def test_errors_say_what_is_wrong(answers: Answers) -> None:
    assert answers.said["misspelt"]["error"] == (
        "parameter 'sed' is unknown; known are seed, first_row, rates, out_of_range, timeout"
    )
    assert answers.said["unknown model"]["error"] == "model 'nope' is not loaded; loaded are strips, tiny"
    statuses = [answers.said[question]["status"] for question in ("hurried", "misspelt", "unknown model")]
    if "http" in answers.way:
        assert statuses == ["504", "422", "404"]
    elif "stream" not in answers.way:  # in a stream an error is a reply
        kinds = ("DEADLINE_EXCEEDED", "INVALID_ARGUMENT", "NOT_FOUND")
        assert statuses == [f"StatusCode.{kind}" for kind in kinds]


def test_the_same_photons_as_from_simulate(answers: Answers, server: RunningServer) -> None:
    names = ("px", "py", "pz", "vx", "vy", "vz")
    columns = dict(zip(("vx", "vy", "vz", "px", "py", "pz"), PARTICLES.conditions[:, 1:7].T.tolist(), strict=True))
    body = {
        "particles": {"pdg": PARTICLES.pdg.tolist(), **{name: columns[name] for name in names}},
        "seed": 7, "first_row": 5, "model": "tiny",
    }  # fmt: skip
    reply = httpx.post(f"{server.http}/simulate", json=body, timeout=60).json()
    response, channels = answers.of("seeded")
    assert response.tolist() == reply["response"]
    assert channels.tolist() == reply["channels"]


@pytest.fixture(scope="module", params=["http", "grpc"])
def facts(request: pytest.FixtureRequest, server: RunningServer, simulator: Simulator) -> Any:
    httpx.post(f"{server.http}/simulate", json={"particles": [{"pdg": 22, "px": 0, "py": 0, "pz": 100}] * 3})
    del simulator
    return plain(run_client("facts", request.param, *addresses(server)))


def plain(value: Any) -> Any:
    """In JSON, messages have 64-bit integers as strings, and omit zeros and empty values."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items() if inner not in ("", 0, False, None)}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return int(value) if isinstance(value, str) and value.lstrip("-").isdigit() else value


def test_health_and_metadata(facts: Any) -> None:
    assert facts["live"]
    assert facts["ready"]
    assert facts["model ready"] == [True, True, False, False]
    assert facts["server"]["name"] == "zdc-fastsim"
    assert {"binary_tensor_data", "model_repository", "statistics"} <= set(facts["server"]["extensions"])
    assert facts["tiny"] == {
        "name": "tiny",
        "versions": [1, 2],
        "platform": "onnxruntime_onnx",
        "inputs": [
            {"name": "particles", "datatype": "FP32", "shape": [-1, 9]},
            {"name": "noise", "datatype": "FP32", "shape": [-1, NOISE]},
            {"name": "pdg", "datatype": "INT64", "shape": [-1]},
        ],
        "outputs": [
            {"name": "response", "datatype": "FP32", "shape": [-1, 44, 44]},
            {"name": "channels", "datatype": "FP32", "shape": [-1, 5]},
        ],
    }
    assert facts["strips"]["outputs"][0]["shape"] == [-1, 8, 6]


def test_configuration(facts: Any) -> None:
    config = facts["config"].get("config", facts["config"])
    optional = {one["name"]: one.get("optional", False) for one in config["input"]}
    assert optional == {"particles": False, "noise": True, "pdg": False}
    assert [one["data_type"] for one in config["input"]] == ["TYPE_FP32", "TYPE_FP32", "TYPE_INT64"]
    assert config["output"][1] == {"name": "channels", "data_type": "TYPE_FP32", "dims": [-1, 2]}
    assert config["backend"] == "onnxruntime"
    assert "max_batch_size" not in config  # 0
    parameters = {name: one["string_value"] for name, one in config["parameters"].items()}
    assert parameters["channel_names"] == "left, right"
    assert parameters["conditions"].startswith("energy [GeV], vx [cm], ")
    assert parameters["finish"] == Finish.ROUND.value
    assert parameters["max_request_rows"] == 3000
    assert len(str(parameters["graph_sha256"])) == 64


def test_statistics(facts: Any) -> None:
    assert {(one["name"], one["version"]) for one in facts["all statistics"]["model_stats"]} == {
        ("tiny", 1), ("tiny", 2), ("strips", 1)
    }  # fmt: skip
    (tiny,) = facts["statistics"]["model_stats"]
    done = tiny["inference_stats"]
    assert tiny["inference_count"] >= 3 * done["success"]["count"] // ROWS
    assert done["success"]["count"] >= 1
    for stage in ("compute_input", "compute_infer", "compute_output"):
        assert done[stage]["count"] == done["success"]["count"]
        assert 0 < done[stage]["ns"] < 60e9
        assert sum(one[stage]["count"] for one in tiny["batch_stats"]) == tiny["execution_count"]
        assert all(one[stage]["ns"] > 0 for one in tiny["batch_stats"])
    assert done["success"]["ns"] >= done["queue"]["ns"]
    assert tiny["last_inference"] > 1.7e12


def test_repository_index(facts: Any) -> None:
    index = facts["index"]["models"] if isinstance(facts["index"], dict) else facts["index"]
    assert [(one["name"], one["version"], one["state"]) for one in index] == [
        ("strips", 1, "READY"), ("tiny", 1, "READY"), ("tiny", 2, "READY"),
    ]  # fmt: skip


def test_errors_of_facts(facts: Any) -> None:
    statuses, texts = zip(*facts["errors"], strict=True)
    assert set(statuses) <= {404, "StatusCode.NOT_FOUND"}
    assert texts == (
        "model 'nope' is not loaded; loaded are strips, tiny",
        "model 'tiny' has no version 9; loaded are [1, 2]",
        "there is no version 'x': versions are 1, 2, ...; leave it out to use the newest",
    )


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RunningServer]:
    write_model(tmp_path, TinyModel())
    write_model(tmp_path, TinyModel(name="other", seed=4))
    running = RunningServer(ServerSettings(models=tmp_path, default_model="tiny", http_port=0, grpc_port=0, threads=1))
    yield running
    running.stop()


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_load_and_unload(own_server: RunningServer, protocol: str) -> None:
    before, without, again, *errors = run_client("reload", protocol, *addresses(own_server), "other")
    for state, ready, word in ((before, True, "READY"), (without, False, "UNAVAILABLE"), (again, True, "READY")):
        index = state[1]["models"] if isinstance(state[1], dict) else state[1]
        assert state[0] is ready
        assert [(one["name"], one["state"]) for one in index] == [("other", word), ("tiny", "READY")]
    assert [error[0] for error in errors] in (
        ["404", "404", "422"],
        ["StatusCode.NOT_FOUND", "StatusCode.NOT_FOUND", "StatusCode.INVALID_ARGUMENT"],
    )
    texts = [error[1] for error in errors]
    assert "model 'nope' is not in the models folder" in texts[0]
    assert "parameter 'config' is unknown; load takes no parameters" in texts[2]
