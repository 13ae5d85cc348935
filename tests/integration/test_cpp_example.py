"""The C++ example, compiled against the public proto file and run against a real server."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from running_server import RunningServer
from zdc_detector.particles import Particles
from zdc_service.simulation import Output, SimulationRequest
from zdc_service.simulator import Simulator

ROOT = Path(__file__).parents[2]
TOOLS = ("protoc", "grpc_cpp_plugin", "g++", "pkg-config")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(shutil.which(tool) is None for tool in TOOLS),
        reason="needs g++, pkg-config, protobuf-compiler, protobuf-compiler-grpc and libgrpc++-dev",
    ),
]


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled program."""
    build = tmp_path_factory.mktemp("build")
    plugin = f"--plugin=protoc-gen-grpc={shutil.which('grpc_cpp_plugin')}"
    messages = ["protoc", "-I", str(ROOT / "proto"), f"--cpp_out={build}", f"--grpc_out={build}", plugin]
    subprocess.run([*messages, "zdc/v1/simulation.proto"], check=True)
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "grpc++", "protobuf"], check=True, capture_output=True, text=True
    ).stdout.split()
    sources = [str(ROOT / "service" / "cpp" / "example.cc"), *map(str, sorted((build / "zdc" / "v1").glob("*.cc")))]
    subprocess.run(
        ["g++", "-std=c++17", "-Wall", "-Werror", f"-I{build}", *sources, *flags, "-o", str(build / "example")],
        check=True,
    )
    return build / "example"


def test_cpp_gets_what_python_gets(example: Path, server: RunningServer, simulator: Simulator) -> None:
    done = subprocess.run([example, server.grpc], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    particles = Particles.from_columns({"pdg": [2112, 22], "px": [0.1, 0], "py": [0, 0.02], "pz": [1500, 300]})
    expected = simulator.simulate(SimulationRequest(particles, seed=7, output=Output.CHANNELS))
    words = done.stdout.split()
    assert np.array_equal(np.array(words[1::2], dtype=np.uint32), expected.channels.ravel())
    assert tuple(words[0::2]) == expected.channel_names * 2


def test_cpp_sees_why_there_is_no_answer(example: Path) -> None:
    done = subprocess.run([example, "127.0.0.1:1"], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "failed to connect" in done.stderr.lower()
