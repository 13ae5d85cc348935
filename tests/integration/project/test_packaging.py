"""The wheel: its content, and that it works in a new environment outside the checkout."""

import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import h5py
import pytest
from zdc_detector.card import CARD_FILE, GOLDEN_FILE, GRAPH_FILE
from zdc_detector.showers import read_showers
from zdc_service.engine.repository import SHIPPED_MODEL

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[3]
EXCERPT = ROOT / "tests" / "data" / "events_excerpt.hepmc3.gz"
PACKAGES = {
    "zdc_common": ROOT / "service",
    "zdc_detector": ROOT / "service",
    "zdc_metrics": ROOT / "service",
    "zdc_readers": ROOT / "service",
    "zdc_service": ROOT / "service",
    "zdc_training": ROOT / "training",
}
#: Imports every module of the service; prints its path and all packages that it imported.
IMPORT_EVERYTHING = """
import importlib, json, pkgutil, sys
import zdc_service
for module in pkgutil.walk_packages(zdc_service.__path__, "zdc_service."):
    importlib.import_module(module.name)
print(json.dumps([zdc_service.__file__, sorted({name.partition(".")[0] for name in sys.modules})]))
"""
WITHOUT_ONNXRUNTIME = "import sys; sys.modules['onnxruntime'] = None; from zdc_service.cli import main; main()"
TRAINING_ONLY = {"torch", "geomloss", "onnx", "onnxscript", "scipy", "sklearn", "matplotlib", "tensorboard"}
PARTICLE = ("--particle", "pdg=2112,pz=1500")
TIMEOUT = 120


def clean_environment() -> dict[str, str]:
    """Environment variables without paths to the checkout and without options."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH" and not name.startswith("ZDC_")}


@dataclass(frozen=True)
class Installed:
    """A fresh environment with the wheel and the extras ``cpu`` and ``hep``, and a folder to work in."""

    bin: Path
    folder: Path

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.bin / program), *arguments],
            capture_output=True, text=True, check=False, timeout=TIMEOUT, cwd=self.folder, env=clean_environment(),
        )  # fmt: skip

    def serve(self) -> subprocess.Popen[str]:
        command = [str(self.bin / "zdc"), "serve", "--http-port", "0", "--grpc-port", "0"]
        environment = clean_environment()
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=self.folder, env=environment)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the source distribution, which is built from the checkout."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("elsewhere")
    environment = Installed(folder / "venv" / "bin", folder)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True, timeout=TIMEOUT)
    install = [str(environment.bin / "python"), "-m", "pip", "install", "--quiet", f"{wheel}[cpu,hep]"]
    done = subprocess.run(install, capture_output=True, text=True, check=False, timeout=600, env=clean_environment())
    assert done.returncode == 0, done.stderr
    return environment


def test_the_wheel_holds_all_packages_the_models_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        about = {name.partition(".dist-info/")[2] for name in archive.namelist()} - {""}
    expected = {
        path.relative_to(root).as_posix()
        for package, root in PACKAGES.items()
        for path in (root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    expected |= {
        f"zdc_service/models/{card.parent.parent.name}/{card.parent.name}/{name}"
        for card in (ROOT / "models").glob(f"*/*/{CARD_FILE}")
        for name in (CARD_FILE, GRAPH_FILE, GOLDEN_FILE)
    }
    assert names == expected
    assert names >= {
        *(f"{package}/py.typed" for package in PACKAGES),
        "zdc_service/messages/simulation_pb2.py",
        "zdc_training/configs/smoke.toml",
        f"zdc_service/models/{SHIPPED_MODEL}/1/{GRAPH_FILE}",
    }
    assert about == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE", "licenses/NOTICE"}


def test_an_editable_install_copies_nothing(tmp_path: Path) -> None:
    """Packages and models are those of the checkout, so that changes take effect."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel:editable", "--directory", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    (built,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        (paths,) = (name for name in archive.namelist() if ".dist-info/" not in name)
        assert archive.read(paths).decode().split() == [str(ROOT / "service"), str(ROOT / "training")]


def test_every_module_of_the_service_imports_without_training(installed: Installed) -> None:
    done = installed.run("python", "-c", IMPORT_EVERYTHING)
    assert done.returncode == 0, done.stderr
    where, modules = json.loads(done.stdout)
    assert Path(where).is_relative_to(installed.folder)
    assert {"zdc_service", "zdc_detector", "grpc", "fastapi", "onnxruntime"} <= set(modules)
    assert not (TRAINING_ONLY | {"zdc_training"}) & set(modules)


def test_the_service_installs_nothing_of_training(installed: Installed) -> None:
    listed = json.loads(installed.run("python", "-m", "pip", "list", "--format", "json").stdout)
    names = {entry["name"].lower() for entry in listed}
    assert "zdc-fastsim" in names
    assert not (TRAINING_ONLY | {"scikit-learn"}) & names
    assert not [name for name in names if name.startswith("nvidia")]
    done = installed.run("python", "-c", "import torch")
    assert "No module named 'torch'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--help"], ["serve", "simulate"]),
        (["serve", "--help"], ["--http-port", "--grpc-port", "--models"]),
        (["simulate", "--help"], ["--particle", "--output"]),
    ],
)
def test_help(installed: Installed, arguments: list[str], said: list[str]) -> None:
    done = installed.run("zdc", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(word in done.stdout for word in said)


def test_it_simulates_in_process_with_the_model_inside(installed: Installed) -> None:
    done = installed.run("zdc", "simulate", *PARTICLE, "--seed", "1", "--output", "out.h5")
    assert done.returncode == 0, done.stderr
    assert f"with {SHIPPED_MODEL} version" in done.stdout
    responses = read_showers(installed.folder / "out.h5").responses
    assert responses.shape == (1, 44, 44)
    assert responses.any()


def test_it_reads_event_files_and_serves(installed: Installed) -> None:
    with installed.serve() as server:
        try:
            assert server.stdout is not None
            found = re.search(r"(http://\S+) .* gRPC on (\S+)", server.stdout.readline())
            assert found is not None
            for url in (found[1], f"grpc://{found[2]}"):
                job = ("--input", str(EXCERPT), "--what", "hits", "--seed", "2", "--output", f"{url[:4]}.h5")
                done = installed.run("zdc", "simulate", "--server", url, *job)
                assert done.returncode == 0, done.stderr
        finally:
            server.send_signal(signal.SIGTERM)
    assert server.returncode == 0
    with h5py.File(installed.folder / "http.h5") as http, h5py.File(installed.folder / "grpc.h5") as grpc:
        assert http["channels"][:].sum() > 0
        assert (http["channels"][:] == grpc["channels"][:]).all()


@pytest.mark.parametrize("command", [["serve"], ["simulate", *PARTICLE, "--output", "none.h5"]])
def test_a_folder_without_models_is_one_line(installed: Installed, command: list[str]) -> None:
    empty = installed.folder / "empty"
    empty.mkdir(exist_ok=True)
    done = installed.run("zdc", *command, "--models", str(empty))
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(rf"zdc.*: --models {empty}: no model found; .*\n", done.stderr)
    assert not (installed.folder / "none.h5").exists()


@pytest.mark.parametrize("command", [["serve"], ["simulate", *PARTICLE, "--output", "none.h5"]])
def test_a_missing_onnxruntime_is_one_line(installed: Installed, command: list[str]) -> None:
    done = installed.run("python", "-c", WITHOUT_ONNXRUNTIME, *command)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"zdc.*: onnxruntime is not installed; .*pip install '\.\[cpu\]'.*\n", done.stderr)
