"""The commands of `tests/load` as `make bench...` runs them, on a small model and for a short time."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from zdc_service.engine.providers import CUDA
from zdc_service.engine.repository import SHIPPED_MODEL
from zdc_service.settings import EngineSettings
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import Output, SimulationRequest

MOMENT = ("--rounds", "1", "--seconds", "0.05")
LOAD = Path(__file__).parents[2] / "load"
SHIPPED = Path(__file__).parents[3] / "models"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(shutil.which(tool) is None for tool in ("g++", "pkg-config")),
        reason="the load generator needs g++, pkg-config and libgrpc++-dev",
    ),
]


def run(script: str, models: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(LOAD / script), "--models", str(models), *options]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, env=environment)


def table(done: subprocess.CompletedProcess[str]) -> list[list[str]]:
    """Cells below the head of the only table."""
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if line[:1] == "|"]
    return rows[2:]


def test_batches_are_of_a_shipped_and_a_small_model_unless_told_otherwise() -> None:
    imports = "from two_models import models_of; from commands import chosen_model, common_parser"
    code = f"{imports}\nprint([chosen_model(each)[0].card.name for each in models_of(common_parser('').parse_args())])"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(LOAD), *(path for path in sys.path if path)])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout == "['zn-e2esae', 'zn-small']\n", done.stderr


def test_batches_over_every_protocol_beside_onnxruntime(models_folder: Path) -> None:
    done = run("batches.py", models_folder, "--model", "strips", *MOMENT)
    assert "model: strips version 1 on CPUExecutionProvider" in done.stdout, done.stderr
    rows = {tuple(row[:3]): row[3:] for row in table(done)}
    assert rows["onnxruntime alone", "", "rates"][2] == "100.0%"
    for output in ("response", "hits"):
        ways = {way for way in rows if way[2] == output}
        assert {client for _, client, _ in ways} == {"", "compiled", "Python"}
        assert {name for name, client, _ in ways if client == "Python"} == {
            "HTTP octet-stream", "HTTP npz", "gRPC stream", "HTTP JSON",
        }  # fmt: skip
        assert all(float(rows[way][0]) > 0 for way in ways)


@pytest.mark.parametrize(("model", "clients"), [("tiny", ("1", "3")), (SHIPPED_MODEL, ("2",))])
def test_single_particles_over_both_protocols(models_folder: Path, model: str, clients: tuple[str, ...]) -> None:
    """The shipped model takes PDG codes in addition to the conditions; the tiny one does not."""
    few = ["--model", model, "--rounds", "1", "--clients", *clients, "--seconds", "0.5", "--peers"]
    rows = table(run("single_particles.py", models_folder if model == "tiny" else SHIPPED, *few))
    assert len(rows) == 5 * len(clients)
    for name, protocol, count, rate, *_, reply, _ in rows:
        assert float(rate) > 0, (name, protocol, count)
        dense = 44 * 44 * (4 if "Open Inference" in name else 2)
        assert dense <= int(reply) < dense + 1000


def test_decisions_have_a_time_for_every_way(models_folder: Path) -> None:
    rows = table(run("decisions.py", models_folder, "--model", "tiny", *MOMENT))
    assert all(float(time) > 0 for _, _, time, _ in rows)
    assert len({(decision, way) for decision, way, *_ in rows}) == len(rows) == 12
    chosen = [ratio for place, (decision, _, _, ratio) in enumerate(rows) if decision != rows[place - 1][0]]
    assert chosen == ["1.0"] * 5


@pytest.mark.alone
def test_bulk_production_with_all_its_processes(models_folder: Path) -> None:
    options = ("--model", "tiny", "--rows", "2000", "--formats", "root", "--what", "response", "--", "--workers", "2")
    ((what, ending, seconds, rate, *_, peak, size),) = table(run("bulk.py", models_folder, *options))
    assert (what, ending) == ("response", "root")
    assert float(rate) == pytest.approx(2000 / float(seconds), rel=0.05)
    assert float(peak) > 300  # three processes or more, of a hundred MiB and more each
    assert float(size) > 0


def test_processor_time_by_stage(models_folder: Path) -> None:
    rows = {
        row[0]: [float(cell) for cell in row[1:]]
        for row in table(run("cpu_stages.py", models_folder, "--model", "tiny", *MOMENT))
    }
    stages = ("noise", "graph", "finish, sums", "hits", "parse, check", "encode", "transport and the rest")
    for column, server in enumerate(rows["**server**"]):
        assert server == pytest.approx(sum(rows[stage][column] for stage in stages), abs=0.1)
    assert min(rows["client, compiled"] + rows["client, `zdc_service.client`"]) > 0


def test_growth_of_one_job(models_folder: Path) -> None:
    rows = table(run("growth.py", models_folder, "--model", "tiny", "--sizes", "1", "2000"))
    assert [row[:3] for row in rows] == [
        ["grpc", output, count] for output in ("channels", "hits") for count in ("1", "2000")
    ]
    for _, _, _, seconds, _, *peaks, _ in rows:
        assert float(seconds) > 0
        assert min(map(float, peaks)) > 50


def test_small_model_is_as_sparse_as_the_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(LOAD)
    from small_model import write_small_model
    from workload import particles_for

    with Simulator(EngineSettings(models=write_small_model(tmp_path))) as simulator:
        card = simulator.repository.get().card
        result = simulator.simulate(SimulationRequest(particles_for(card, 500), seed=1, output=Output.HITS))
    assert card.flops_per_response == pytest.approx(2e6, rel=0.05)
    assert result.channels.sum(axis=1).mean() == pytest.approx(150, rel=0.05)
    assert result.hits is not None
    assert 60 < np.diff(result.hits.offsets).mean() < 85


@pytest.mark.skipif(CUDA in onnxruntime.get_available_providers(), reason="this onnxruntime may find a GPU")
@pytest.mark.parametrize("script", ["batches.py", "single_particles.py", "cpu_stages.py", "growth.py"])
def test_it_says_that_it_did_not_run_without_a_gpu(script: str, models_folder: Path) -> None:
    done = run(script, models_folder, "--model", "tiny", "--device", "cuda")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("not run: --device cuda: ")
