"""The C++ client, compiled once for all tests, and the program that calls it for them."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.models.tiny_model import some_particles
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from zdc_detector.particles import CONDITIONS, KINEMATICS, Particles
from zdc_service.client import Chunk
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import Output, SimulationRequest

CLIENT = Path(__file__).parents[3] / "service" / "cpp"
#: Without optimisation: compiling takes longer than all tests.
DEBUG = ("-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS_DEBUG=-O0")
#: All sources of a target as one: gRPC's headers, which take most of the time, are read once. What is installed is
#: compiled file by file, so that each file includes what it needs.
AS_ONE = ("-DCMAKE_UNITY_BUILD=ON", "-DCMAKE_UNITY_BUILD_BATCH_SIZE=0")
TIMEOUT = 120

PARTICLES = some_particles(5)
#: Fibres and channels of ``tiny``; with them, the program need not request the model's properties first.
TINY = {"shape": "1936,5"}

_TOOLS = ("cmake", "ninja", "protoc", "grpc_cpp_plugin", "g++", "pkg-config")
needs_tools = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in _TOOLS),
    reason="needs cmake, ninja-build, g++, pkg-config, protobuf-compiler, protobuf-compiler-grpc and libgrpc++-dev",
)


def make(source: Path, build: Path, *options: str, target: str = "all") -> None:
    """Configure and build a CMake project; a failure shows the compiler's output."""
    for command in (
        ["cmake", "-G", "Ninja", "-S", str(source), "-B", str(build), *DEBUG, *options],
        ["nice", "ninja", "-C", str(build), "-j2", target],
    ):
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@dataclass(frozen=True)
class Answer:
    """The output of the program by name, and the folder of its arrays."""

    said: Mapping[str, str]
    folder: Path

    def array(self, name: str, dtype: np.dtype[Any]) -> NDArray[np.generic]:
        """The filled part of one of the call's buffers."""
        return np.fromfile(self.folder / name, dtype=dtype)


@dataclass(frozen=True)
class BuiltClient:
    """The client in its two builds.

    The programs of the tests are made within another build, with a shared library and checks of memory; what is
    installed is a static library.
    """

    folder: Path
    programs: Path
    calls: Path
    numbers: "count[int]"

    @cached_property
    def prefix(self) -> Path:
        """The folder of the installation, which the first access creates."""
        options = ("-DZDC_FASTSIM_WERROR=ON", f"-DCMAKE_INSTALL_PREFIX={self.folder / 'installed'}")
        with _one_process(self.folder):
            make(CLIENT, self.folder / "build", *options, target="install")
        return self.folder / "installed"

    def start(
        self, address: str, particles: Sequence[Mapping[str, float]], **settings: object
    ) -> "tuple[subprocess.Popen[str], Path]":
        """Start a call of `Client.simulate`; `settings` as in ``service/cpp/tests/probe.cc``."""
        folder = self.calls / str(next(self.numbers))
        folder.mkdir(parents=True)
        lines = (" ".join(f"{value:.9g}" for value in one.values()) for one in particles)
        (folder / "particles").write_text("".join(f"{line}\n" for line in lines))
        for thread in range(1, int(str(settings.get("threads", 1)))):
            (folder / str(thread)).mkdir()
        words = [f"{name}={value}" for name, value in settings.items()]
        command = [str(self.programs / "zdc_fastsim_probe"), address, str(folder / "particles"), str(folder), *words]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True), folder

    def call(
        self, address: str, particles: Particles | Sequence[Mapping[str, float]] = (), **settings: object
    ) -> Answer:
        """Make a call and wait for it."""
        return finish(*self.start(address, rows_of(particles), **settings))


def finish(process: "subprocess.Popen[str]", folder: Path) -> Answer:
    """Wait for a started call."""
    try:
        printed, complaints = process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()
    said = dict(line.split("=", 1) for line in printed.splitlines())
    assert process.returncode == ("error" in said), (said, complaints)
    return Answer(said, folder)


def rows_of(particles: Particles | Sequence[Mapping[str, float]]) -> Sequence[Mapping[str, float]]:
    """PDG code, momentum and vertex of each particle."""
    if not isinstance(particles, Particles):
        return particles
    columns = [particles.pdg, *(particles.conditions[:, CONDITIONS.index(name)] for name in KINEMATICS)]
    return [dict(zip(("pdg", *KINEMATICS), map(float, row), strict=True)) for row in zip(*columns, strict=True)]


def assert_same(found: Answer, expected: Chunk, floats: bool = False) -> None:
    """Check that an answer equals the Python client's; `floats`: in buffers of floats."""

    def same(name: str, array: np.ndarray | None) -> None:
        if array is not None and array.size:
            dtype = np.dtype(np.float32) if floats and name in ("response", "channels", "hit_photons") else array.dtype
            got = found.array(name, dtype)
            assert_array_equal(got, array.ravel(), err_msg=name)

    assert {name: found.said[name] for name in ("model", "version", "seed", "finish", "rows")} == {
        "model": expected.model,
        "version": str(expected.version),
        "seed": str(expected.seed),
        "finish": expected.finish.value,
        "rows": str(len(expected.row)),
    }
    for reason in ("skipped", "extrapolated"):
        counts = {name.removeprefix(f"{reason}_"): int(n) for name, n in found.said.items() if name.startswith(reason)}
        assert counts == getattr(expected, reason)
    for name in ("response", "channels", "particle", "side"):
        same(name, getattr(expected, name))
    if expected.hits is not None:
        for name in ("offsets", "fibre", "photons"):
            same(f"hit_{name}", getattr(expected.hits, name))
        assert found.said["hits"] == str(len(expected.hits.fibre))


def assert_channels(found: Answer, simulator: Simulator, n: int = len(PARTICLES)) -> None:
    """Check that an answer has the channels of `n` of `some_particles`, with seed 7."""
    request = SimulationRequest(some_particles(n), 7, output=Output.CHANNELS)
    assert "error" not in found.said, found.said
    assert_array_equal(found.array("channels", np.dtype(np.uint32)), simulator.simulate(request).channels.ravel())


def built_client(factory: pytest.TempPathFactory) -> BuiltClient:
    """The client and its programs, compiled by the first test that uses them, for all processes of pytest."""
    own = factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    return _build(shared / "cpp", own / "cpp-calls")


@lru_cache
def _build(folder: Path, calls: Path) -> BuiltClient:
    folder.mkdir(exist_ok=True)
    programs = folder / "programs"
    options = (f"-DCHECKOUT={CLIENT.parents[1]}", "-DZDC_FASTSIM_WERROR=ON", "-DZDC_FASTSIM_TESTS=ON")
    where = f"-DCMAKE_RUNTIME_OUTPUT_DIRECTORY={programs}"
    with _one_process(folder):
        make(CLIENT / "tests" / "subproject", folder / "subproject", *options, *AS_ONE, where)
    return BuiltClient(folder, programs, calls, count())


@contextmanager
def _one_process(folder: Path) -> Iterator[None]:
    """Wait until no other process builds in the folder, and prevent others from building."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
