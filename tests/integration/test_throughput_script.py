"""`tests/load/throughput.py` as `make bench` runs it, on a small model."""

import os
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest
from zdc_service.engine import CUDA

SCRIPT = Path(__file__).parents[1] / "load" / "throughput.py"


def run(models: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "--models", str(models), "--model", "strips", "--seconds", "0.05", *options]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)


def test_every_way_has_a_rate_beside_onnxruntime(models_folder: Path) -> None:
    done = run(models_folder, "--rounds", "2")
    assert done.returncode == 0, done.stderr
    assert "model: strips version 1 on CPUExecutionProvider" in done.stdout
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if line[:1] == "|"]
    ways = {(name, output): (float(rate), share) for name, output, rate, _, share in rows[2:]}
    assert ways["onnxruntime alone", "rates"][1] == "100.0%"
    for name in ("in process", "HTTP octet-stream", "HTTP npz", "HTTP JSON", "gRPC stream"):
        assert ways[name, "response"][0] > 0
    assert {name for name, output in ways if output == "hits"} == {"in process", "HTTP npz", "HTTP JSON", "gRPC stream"}


@pytest.mark.skipif(CUDA in onnxruntime.get_available_providers(), reason="this onnxruntime may find a GPU")
def test_it_says_that_it_did_not_run_without_a_gpu(models_folder: Path) -> None:
    done = run(models_folder, "--device", "cuda")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("not run: --device cuda: ")
