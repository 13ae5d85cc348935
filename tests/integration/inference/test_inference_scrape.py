"""The scraped text of a real server, line by line as Triton documents it, and the numbers behind it."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from helpers.callers.inference_requests import http_body
from helpers.models.tiny_model import TinyModel, some_particles, write_model
from helpers.servers.running_server import RunningServer
from zdc_service.settings import ServerSettings

COUNTERS = [
    "nv_inference_request_success",
    "nv_inference_request_failure",
    "nv_inference_count",
    "nv_inference_exec_count",
    "nv_inference_request_duration_us",
    "nv_inference_queue_duration_us",
    "nv_inference_compute_input_duration_us",
    "nv_inference_compute_infer_duration_us",
    "nv_inference_compute_output_duration_us",
]
GAUGES = ["nv_inference_pending_request_count"]
SAMPLE = re.compile(r'(\w+)\{model="([\w-]+)",(?:reason="([A-Z]+)",)?version="(\d+)"\} ([\d.e+]+)')


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder: Path = tmp_path_factory.mktemp("models")
    write_model(folder, TinyModel())
    write_model(folder, TinyModel(name="other", version=7))
    running = RunningServer(ServerSettings(models=folder, default_model="tiny", http_port=0, grpc_port=0, threads=1))
    yield running
    running.stop()


def scrape(server: RunningServer) -> dict[str, list[str]]:
    """The lines of each of Triton's metric families."""
    families: dict[str, list[str]] = {}
    reply = httpx.get(f"{server.http}/metrics").raise_for_status()
    for line in reply.text.splitlines():
        name = re.split(r"[ {]", line.removeprefix("# HELP ").removeprefix("# TYPE "))[0]
        if name.startswith("nv_"):
            families.setdefault(name, []).append(line)
    return families


def values(server: RunningServer, model: str = "tiny") -> dict[str, float]:
    """Each sample of a model, by name and, of failures, reason."""
    found = [SAMPLE.fullmatch(line) for lines in scrape(server).values() for line in lines]
    return {
        f"{one[1]} {one[3]}" if one[3] else one[1]: float(one[5])
        for one in found
        if one is not None and one[2] == model
    }


@pytest.mark.parametrize("name", COUNTERS + GAUGES)
def test_lines_are_as_tritons(own_server: RunningServer, name: str) -> None:
    about, kind, *samples = scrape(own_server)[name]
    assert re.fullmatch(rf"# HELP {name} [A-Z].+\.", about)
    assert kind == f"# TYPE {name} {'gauge' if name in GAUGES else 'counter'}"
    found = [SAMPLE.fullmatch(line) for line in samples]
    assert all(one is not None and one[1] == name for one in found), samples
    labels = {(one[2], one[4], one[3]) for one in found if one is not None}
    reasons = ["OTHER", "BACKEND", "CANCELED", "REJECTED"] if name.endswith("failure") else [None]
    assert labels == {(*model, reason) for model in (("tiny", "1"), ("other", "7")) for reason in reasons}
    assert len(samples) == len(labels)


def test_nothing_else_has_these_names(own_server: RunningServer) -> None:
    assert sorted(scrape(own_server)) == sorted(COUNTERS + GAUGES)


def test_requests_of_every_interface_are_counted(own_server: RunningServer) -> None:
    before, others = values(own_server), values(own_server, "other")
    body, headers = http_body({"particles": some_particles(5).conditions})
    httpx.post(f"{own_server.http}/v2/models/tiny/infer", content=body, headers=headers).raise_for_status()
    photon = {"pdg": 22, "px": 0, "py": 0, "pz": 100}
    httpx.post(f"{own_server.http}/simulate", json={"particles": [photon], "repeats": 3}).raise_for_status()
    httpx.post(f"{own_server.http}/simulate", json={"particles": [photon | {"pz": 1e5}]})
    httpx.post(f"{own_server.http}/v2/models/tiny/infer", json={"inputs": [], "parameters": {"sed": 1}})
    late, _ = http_body({"particles": some_particles(5).conditions}, parameters={"timeout": 1})
    length = {"Inference-Header-Content-Length": str(len(late) - 5 * 36)}
    assert httpx.post(f"{own_server.http}/v2/models/tiny/infer", content=late, headers=length).status_code == 504
    after = values(own_server)
    grown = {name: after[name] - before[name] for name in after}
    assert grown["nv_inference_request_success"] == 2
    assert grown["nv_inference_count"] == 8
    assert grown["nv_inference_exec_count"] == 2
    assert grown["nv_inference_request_failure OTHER"] == 2
    assert grown["nv_inference_request_failure REJECTED"] == 1
    assert grown["nv_inference_pending_request_count"] == 0
    stages = [grown[f"nv_inference_{stage}_duration_us"] for stage in (
        "queue", "compute_input", "compute_infer", "compute_output"
    )]  # fmt: skip
    assert all(stage > 0 for stage in stages)
    assert sum(stages) <= grown["nv_inference_request_duration_us"] + 4  # each is rounded
    assert values(own_server, "other") == others


def test_a_model_that_is_unloaded_is_not_scraped(own_server: RunningServer) -> None:
    httpx.post(f"{own_server.http}/v2/repository/models/other/unload").raise_for_status()
    assert values(own_server, "other") == {}
    httpx.post(f"{own_server.http}/v2/repository/models/other/load").raise_for_status()
    assert values(own_server, "other")["nv_inference_request_success"] == 0
