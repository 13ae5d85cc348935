"""The installed C++ package: found by CMake and pkg-config, outside the checkout."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers.callers.cpp_build import CLIENT, BuiltClient, built_client, make, needs_tools
from helpers.models.tiny_model import TinyModel, write_model
from helpers.servers.running_server import RunningServer, running
from zdc_detector.frames import Frame
from zdc_detector.particles import Particles
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import Output, SimulationRequest, SimulationResult

pytestmark = [pytest.mark.slow, needs_tools]

ROOT = Path(__file__).parents[3]
#: The pages with a program, and the names of the compiled programs.
PAGES = {
    "page": ROOT / "README.md",
    "how_to_page": ROOT / "docs" / "how-to" / "cpp.md",
    "client_page": CLIENT / "README.md",
}
SHOWN = """
add_executable({name} {name}.cc)
target_link_libraries({name} PRIVATE zdc_fastsim::client)
"""


@pytest.fixture(scope="module")
def cpp(tmp_path_factory: pytest.TempPathFactory) -> BuiltClient:
    return built_client(tmp_path_factory)


@pytest.fixture(scope="module")
def examples(cpp: BuiltClient, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples and the programs in the documentation, compiled against the installed package in another folder."""
    folder = tmp_path_factory.mktemp("examples")
    shutil.copytree(CLIENT / "examples", folder / "source")
    for name, page in PAGES.items():
        (lines,) = re.findall(r"^```cpp\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
        includes = "".join(re.findall(r"^#include .*\n", lines, re.MULTILINE)) or "#include <zdc_fastsim/client.h>\n"
        body = re.sub(r"^#include .*\n", "", lines, flags=re.MULTILINE).replace('"grpc://127.0.0.1:8001"', "argv[1]")
        (folder / "source" / f"{name}.cc").write_text(f"{includes}int main(int, char** argv) {{\n{body}}}\n")
        with (folder / "source" / "CMakeLists.txt").open("a") as cmake:
            cmake.write(SHOWN.format(name=name))
    proto = ROOT / "proto" / "inference"
    make(folder / "source", folder / "build", f"-DCMAKE_PREFIX_PATH={cpp.prefix}", f"-DPROTO_DIR={proto}")
    return folder / "build"


def run(program: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([program, *arguments], check=False, capture_output=True, text=True, timeout=60)


def two_particles(simulator: Simulator, vz: float = 0) -> SimulationResult:
    """The particles of the examples."""
    particles = Particles.from_columns(
        {"pdg": [2112, 22], "px": [0.1, 0], "py": [0, 0.02], "pz": [1500, 300], "vz": [vz, 0]}
    )
    return simulator.simulate(SimulationRequest(particles, seed=7, output=Output.CHANNELS))


def test_the_example_prints_the_results_of_python(examples: Path, server: RunningServer, simulator: Simulator) -> None:
    done = run(examples / "simulate", f"grpc://{server.grpc}")
    assert (done.returncode, done.stderr) == (0, "")
    words, expected = done.stdout.split(), two_particles(simulator)
    assert np.array_equal(np.array(words[1::2], dtype=np.uint32), expected.channels.ravel())
    assert tuple(words[0::2]) == expected.channel_names * 2


def test_the_example_of_particles_at_the_face_runs(examples: Path, server: RunningServer, tmp_path: Path) -> None:
    write_model(tmp_path, TinyModel(frames=(Frame.VERTEX, Frame.FACE)))
    particles = Particles.from_columns(
        {"pdg": [2112, 22], "px": [3, 0], "py": [0, -0.2], "pz": [1500, -300], "vx": [1.2, -2.5], "vy": [-0.4, 0.1]}
    )
    with running(tmp_path) as other:
        done = run(examples / "at_face", f"grpc://{other.grpc}")
        request = SimulationRequest(particles, seed=7, output=Output.CHANNELS, frame=Frame.FACE)
        expected = other.server.simulator.simulate(request)
    assert (done.returncode, done.stderr) == (0, "")
    assert np.array_equal(np.array(done.stdout.split()[1::2], dtype=np.uint32), expected.channels.ravel())
    assert expected.channels.all()
    done = run(examples / "at_face", f"grpc://{server.grpc}")
    assert done.returncode == 1
    assert "particle[0]: frame: vz = 11259.8 cm of n is at the face" in done.stderr


def test_the_kserve_example_prints_the_same_results(
    examples: Path, server: RunningServer, simulator: Simulator
) -> None:
    done = run(examples / "kserve_v2", server.grpc, "tiny")
    assert (done.returncode, done.stderr) == (0, "")
    expected = two_particles(simulator, vz=2).channels
    assert [[float(word) for word in line.split()] for line in done.stdout.splitlines()] == expected.tolist()
    done = run(examples / "kserve_v2", server.grpc, "nobody")
    assert done.returncode == 1
    assert "nobody" in done.stderr


@pytest.mark.parametrize("name", PAGES)
def test_programs_in_the_documentation_run(examples: Path, server: RunningServer, name: str) -> None:
    assert run(examples / name, f"grpc://{server.grpc}").returncode == 0


def test_headers_do_not_include_grpc_or_protobuf(cpp: BuiltClient) -> None:
    client = cpp.prefix / "include" / "zdc_fastsim" / "client.h"
    seen = subprocess.run(
        ["g++", "-std=c++17", "-x", "c++", "-M", f"-I{cpp.prefix / 'include'}", str(client)],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert "zdc_fastsim/types.h" in seen
    assert not any(name in seen for name in ("grpc", "protobuf", "absl", ".pb.h"))


def test_pkg_config_finds_the_package(cpp: BuiltClient, tmp_path: Path) -> None:
    (installed,) = cpp.prefix.rglob("zdc_fastsim.pc")
    moved = tmp_path / "moved"
    shutil.copytree(cpp.prefix, moved)
    program = tmp_path / "simulate"
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "zdc_fastsim"], check=True, capture_output=True, text=True,
        env={"PKG_CONFIG_PATH": str(moved / installed.relative_to(cpp.prefix).parent), "PATH": "/usr/bin:/bin"},
    ).stdout.split()  # fmt: skip
    warnings = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")
    source = CLIENT / "examples" / "simulate.cc"
    subprocess.run(["g++", "-std=c++17", *warnings, source, *flags, "-o", program], check=True)
    assert run(program, "no address").stderr == (
        "address 'no address' must be grpc://host:port, or grpcs://host:port for TLS, with a port from 1 to 65535\n"
    )


def test_its_version_is_that_of_the_last_release(cpp: BuiltClient) -> None:
    version = yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]
    header = (cpp.prefix / "include" / "zdc_fastsim" / "version.h").read_text()
    assert f'#define ZDC_FASTSIM_VERSION "{version}"' in header
    (config,) = cpp.prefix.rglob("zdc_fastsimConfigVersion.cmake")
    assert f'set(PACKAGE_VERSION "{version}")' in config.read_text()
