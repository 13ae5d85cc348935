"""The Python client as a package: the modules that it imports, and type checks of a caller's program."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from zdc_common import errors
from zdc_service import client
from zdc_service.status import STATUSES

ROOT = Path(__file__).parents[3]
SERVICE = ROOT / "service"

#: Packages that only a server, an engine, training or the command line needs.
HEAVY = (
    "fastapi", "starlette", "httptools", "uvloop", "onnxruntime", "torch", "prometheus_client", "pydantic_settings",
    "h5py", "numba", "scipy", "zdc_service.settings", "zdc_service.simulating.simulator", "zdc_service.serving",
)  # fmt: skip
PROTOCOLS = ("grpc", "httpx")

IMPORTED = f"""
import sys
sys.path.insert(0, {str(SERVICE)!r})
import zdc_service.client
%s
print(*sorted(set({HEAVY + PROTOCOLS!r}) & set(sys.modules)))
"""

#: A caller's program for strict mypy; mypy must reject each line with a comment, with the error code in the comment.
PROGRAM = """
import asyncio

import numpy as np
from numpy.typing import NDArray
from zdc_service.client import Chunk, ClientOptions, OutOfRangeError, Particles, ZdcError, connect, connect_async

columns = {"pdg": [2112], "px": [0.1], "py": [0.0], "pz": [1500.0]}
arrays = {"pdg": np.array([2112]), "px": np.zeros(1), "py": np.zeros(1), "pz": np.full(1, 300.0)}
structured = np.zeros(3, dtype=[("pdg", "i4"), ("px", "f4"), ("py", "f4"), ("pz", "f4")])


def threads() -> NDArray[np.float64]:
    with connect("grpc://127.0.0.1:8001", ClientOptions(timeout_seconds=30.0)) as client:
        for chunk in client.simulate([Particles.from_columns(arrays), columns], output="hits", out_of_range="skip"):
            if chunk.hits is not None:
                print(chunk.hits.offsets.sum(), chunk.row.tolist(), chunk.skipped.get("energy", 0))
        client.run(structured, output="image")  # [arg-type]
        client.run(columns, repeat=3)  # [call-arg]
        client.run("particles.csv")  # [arg-type]
        result = client.run(structured, seed=7, repeats=10)
        shares = result.channels / result.channels.sum(axis=1, keepdims=True)
        means = result.images.reshape(3, 10, 44, 44).mean(axis=1) * 0.5
        return np.concatenate([shares.ravel(), means.ravel(), np.log1p(result.channels[:, 0] + result.channels[:, 1])])


async def tasks() -> Chunk | None:
    async with connect_async("http://127.0.0.1:8000") as client:
        async for chunk in client.simulate(arrays, rates=True):
            print(chunk.channels.shape)
        client.simulate(columns, seed="7")  # [arg-type]
        try:
            return await client.run(columns, model="zn-fast", version=1, first_row=10)
        except OutOfRangeError as error:
            print(error.kind, error.retry_after_seconds)
        except ZdcError:
            raise
    return None


print(threads().shape, asyncio.run(tasks()))
"""


@pytest.mark.parametrize(
    ("then", "loaded"),
    [
        ("", ""),
        ("zdc_service.client.connect('http://127.0.0.1:1').close()", "httpx"),
        ("zdc_service.client.connect_async('http://127.0.0.1:1')", "httpx"),
        ("zdc_service.client.connect('grpc://127.0.0.1:1').close()", "grpc"),
        ("zdc_service.client.connect_async('grpc://127.0.0.1:1')", "grpc"),
    ],
)
def test_clients_load_nothing_of_the_server(then: str, loaded: str) -> None:
    ran = subprocess.run([sys.executable, "-c", IMPORTED % then], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == loaded


@pytest.mark.slow
def test_mypy_accepts_a_typed_program_and_finds_its_mistakes(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    assert (SERVICE / "zdc_service" / "py.typed").exists()
    assert (SERVICE / "zdc_detector" / "py.typed").exists()
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    (tmp_path / "mypy.ini").write_text(f"[mypy]\nstrict = true\nfollow_imports = silent\nmypy_path = {SERVICE}\n")
    cache = pytestconfig.cache.mkdir("mypy") if pytestconfig.cache is not None else tmp_path
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--cache-dir", str(cache), "program.py"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ran.stderr == ""
    said = {(int(line.split(":")[1]), line.rsplit(" ", 1)[1]) for line in ran.stdout.splitlines() if ": error:" in line}
    marked = {(n, line.rsplit(" ", 1)[1]) for n, line in enumerate(PROGRAM.splitlines(), 1) if "  # [" in line}
    assert said == marked, ran.stdout


@pytest.mark.parametrize("kind", [client.Client, client.AsyncClient])
def test_help_shows_the_types_of_arguments(kind: type) -> None:
    for name in ("run", "simulate"):
        shown = str(inspect.signature(getattr(kind, name)))
        assert "Particles" in shown
        assert "seed: 'int | None' = None, repeats: 'int' = 1" in shown
        assert "numpy" not in shown


def test_the_client_package_exports_all_classes_that_a_caller_needs() -> None:
    assert all(hasattr(client, name) for name in client.__all__)
    raised = {
        error for error in vars(errors).values() if isinstance(error, type) and getattr(error, "kind", "") in STATUSES
    }
    assert raised - {getattr(client, name) for name in client.__all__} == {
        errors.NotAcceptableError,  # HTTP formats that our client never requests or sends
        errors.UnsupportedMediaError,
    }
