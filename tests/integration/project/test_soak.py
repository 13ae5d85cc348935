"""`tests/load/soak.py` for seconds: no request is lost, doubled or mixed up; mixed-up ones are reported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[2] / "load" / "soak.py"
PROTOCOLS = {"HTTP binary", "HTTP JSON", "HTTP v2", "gRPC", "gRPC stream", "gRPC v2"}

pytestmark = pytest.mark.slow


def soak(models: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SOAK), "--models", str(models), "--warm-up", "0", *options]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, env=environment)


def table(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, int]]:
    """By protocol and column."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if line[:1] == "|"]
    return {row[0]: dict(zip(lines[0][1:], map(int, row[1:]), strict=True)) for row in lines[2:]}


@pytest.mark.parametrize("model", ["tiny", "strips"])
def test_every_request_ends_as_it_should(models_folder: Path, model: str) -> None:
    done = soak(models_folder, "--model", model, "--clients", "40", "--seconds", "5")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    counts = table(done)
    assert counts.keys() == {*PROTOCOLS, "all"}
    for one in counts.values():
        ended = sum(one[outcome] for outcome in ("answered", "cancelled", "late", "refused", "rejected"))
        assert one["asked"] == ended
        assert one["answered"] > 0
        assert one["violations"] == 0
    assert "after that zdc_queue_rows is 0 and nv_inference_pending_request_count 0" in done.stdout


def test_rows_of_somebody_else_are_noticed(models_folder: Path) -> None:
    done = soak(models_folder, "--model", "tiny", "--clients", "12", "--seconds", "2", "--mixed-up", "0.5")
    assert done.returncode == 1
    assert "differs first at" in done.stdout
    counts = table(done)
    assert all(counts[protocol]["violations"] > 0 for protocol in PROTOCOLS), done.stdout
