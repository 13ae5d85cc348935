"""The C++ client as a shared library within another build, in C++20."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from helpers.callers.cpp_build import BuiltClient, built_client, needs_tools
from helpers.servers.running_server import RunningServer, running
from zdc_detector.particles import Particles
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import Output, SimulationRequest

pytestmark = [pytest.mark.slow, needs_tools]


@pytest.fixture(scope="module")
def cpp(tmp_path_factory: pytest.TempPathFactory) -> BuiltClient:
    return built_client(tmp_path_factory)


def test_two_clients_share_a_job(
    cpp: BuiltClient, server: RunningServer, models_folder: Path, simulator: Simulator
) -> None:
    with running(models_folder) as other:
        command = [str(cpp.programs / "two_clients"), f"grpc://{server.grpc}", f"grpc://{other.grpc}"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    zero = np.zeros(60)
    particles = Particles.from_columns({"pdg": np.full(60, 2112), "px": zero, "py": zero, "pz": 100.0 + np.arange(60)})
    expected = simulator.simulate(SimulationRequest(particles, seed=5, output=Output.CHANNELS)).channels
    assert list(map(int, done.stdout.split())) == expected.ravel().tolist()


def test_the_library_exports_only_its_public_symbols(cpp: BuiltClient) -> None:
    (library,) = {path.resolve() for path in cpp.folder.rglob("libzdc_fastsim.so*")}
    assert library.name.count(".") == 4, "named after the version; libzdc_fastsim.so.0.1 is what programs ask for"
    shown = subprocess.run(["nm", "-DC", "--defined-only", library], check=True, capture_output=True, text=True).stdout
    assert "zdc_fastsim::Client::simulate" in shown
    assert not any(name in shown for name in ("grpc::", "protobuf", "zdc_fastsim::Job", "zdc_fastsim::wire"))
