"""A calorimeter of one's own, given by a TOML file, and ALICE's ZP through every command.

One fixture makes showers at the face, converts and splits them, trains a tiny model, evaluates and exports it. The
tests look at what each command made.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from helpers.calorimeters import BOARD, BOARD_TOML, ZP
from helpers.files.shower_samples import draw_responses, toy_showers, write_showers
from helpers.files.simulate_runs import run
from helpers.models.training_runs import NETWORKS, SMALL_FAST, brighten
from helpers.servers.running_server import RunningServer
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.card import ModelCard
from zdc_detector.particles import Particles
from zdc_detector.shower_rows import read_rows
from zdc_detector.showers import read_showers
from zdc_service.settings import ServerSettings
from zdc_training.cli import main
from zdc_training.runs.run import Run

pytestmark = pytest.mark.slow

PARTICLES, REPEATS = 60, 4
SHARED = """
validate_every = 2
data = { train = "all_train.h5", test = "all_test.h5", validation_share = 0.25, description = "toy" }
optimiser = { epochs = 2, batch_size = 40 }
"""
FAST = f"""
method = "fast"
keep = "last"
output = {{ name = "other", finish = "poisson" }}
loss = {{ draws = 2 }}
model = {json.dumps(SMALL_FAST.model_dump(mode="json", exclude_none=True)).replace('":', '" =')}
"""
#: Rounded counts and ten numbers of noise, as O2 needs them.
IMAGES = f"""
method = "sinkhorn"
output = {{ name = "other", finish = "round" }}
loss = {{ reconstruction = "laplacian" }}
model = {json.dumps(NETWORKS | {"noise": 10}).replace('":', '" =')}
"""


@dataclass(frozen=True)
class Trained:
    """The folder with all files, and the calorimeter."""

    folder: Path
    calorimeter: Calorimeter
    named: str

    @property
    def model(self) -> Path:
        return self.folder / "models" / "other" / "1"

    def train_zdc(self, *arguments: object) -> int:
        """The exit code of a command of ``train-zdc``."""
        try:
            main(list(map(str, arguments)))
        except SystemExit as stop:
            return int(str(stop.code))
        return 0


def particles_at_face(calorimeter: Calorimeter, n: int) -> Particles:
    """Protons, neutrons and photons that are given at the face, all over it."""
    rng = np.random.default_rng(3)
    pz = np.exp(rng.uniform(np.log(50), np.log(2000), n))
    columns: dict[str, Any] = {"pdg": rng.choice([2212, 2112, 22], n), "pz": pz}
    for axis, name in enumerate("xy"):
        half, centre = calorimeter.half_width[axis], calorimeter.centre[axis]
        columns[f"v{name}"] = centre + rng.uniform(-0.95, 0.95, n) * half
        columns[f"p{name}"] = rng.uniform(-1e-3, 1e-3, n) * pz
    return Particles.from_columns(columns | {"vz": np.full(n, calorimeter.face_plane)})


@pytest.fixture(scope="module", params=["BOARD", "ZP"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp(request.param)
    calorimeter, named, method = (ZP, "zp", IMAGES) if request.param == "ZP" else (BOARD, "board.toml", FAST)
    if named == "board.toml":
        (folder / named).write_text(BOARD_TOML)
        named = str(folder / named)
    found = Trained(folder, calorimeter, named)
    particles = particles_at_face(calorimeter, PARTICLES)
    responses = draw_responses(particles, REPEATS, 4, light=3, calorimeter=calorimeter)
    table = np.column_stack([particles.conditions, particles.pdg]).repeat(REPEATS, axis=0)
    np.savez(folder / "both.npz", particles=table, responses=responses.reshape(-1, *calorimeter.shape))
    both = folder / "both.npz"
    assert found.train_zdc("convert", both, both, folder / "all.h5", "--calorimeter", named) == 0
    assert found.train_zdc("split", folder / "all.h5", "--share", 0.2) == 0
    (folder / "config.toml").write_text(method + SHARED)
    assert found.train_zdc("fit", folder / "config.toml", "--run", folder / "run", "--threads", 1) == 0
    if method is IMAGES:
        brighten(Run(folder / "run"))
    assert found.train_zdc("evaluate", folder / "run", "--resamples", 2, "--repeats", 2) == 0
    assert found.train_zdc("export", folder / "run", "--output", folder / "models") == 0
    return found


def simulate(trained: Trained, output: str, *arguments: object) -> Path:
    """A file of responses of the test particles."""
    path = trained.folder / output
    models = ("--models", trained.folder / "models") if "--server" not in arguments else ()
    test = trained.folder / "all_test.h5"
    options = ("--seed", 1, "--repeats", 4, "--out-of-range", "extrapolate")  # the test particles are not the trained
    assert run("--input", test, "--output", path, *options, *models, *arguments) == 0
    return path


def test_showers_keep_their_calorimeter(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    rows, columns = trained.calorimeter.shape
    for name in ("all", "all_train", "all_test"):
        showers = read_showers(trained.folder / f"{name}.h5")
        assert showers.calorimeter == trained.calorimeter
        assert showers.responses.shape[1:] == (rows, columns)
    assert trained.train_zdc("check-data", trained.folder / "all.h5") == 0
    assert f"calorimeter   {trained.calorimeter.name}, {rows} x {columns} fibres" in capsys.readouterr().out


def test_the_card_contains_it_and_the_export_is_evaluated(trained: Trained) -> None:
    assert ModelCard.read(trained.model).calorimeter == trained.calorimeter
    output = trained.folder / "evaluated"
    arguments = ("--resamples", 2, "--repeats", 2, "--output", output, "--test", trained.folder / "all_test.h5")
    assert trained.train_zdc("evaluate", trained.model, *arguments) == 0
    assert (output / "responses.png").is_file()


def test_a_test_file_of_zn_is_refused(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_showers(trained.folder / "zn.h5", toy_showers(4, 2))
    for subject in (trained.folder / "run", trained.model):
        assert trained.train_zdc("evaluate", subject, "--test", other) == 2
        error = capsys.readouterr().err
        assert f"{other}: holds showers of ZN" in error
        assert f"the calorimeters differ in name {trained.calorimeter.name} and ZN" in error


def test_responses_of_every_format_and_of_slices(trained: Trained) -> None:
    whole = simulate(trained, "whole.h5")
    stored = read_rows(whole)
    assert stored.calorimeter == trained.calorimeter
    assert stored.responses.any()
    for ending in ("npz", "root", "parquet"):
        assert simulate(trained, f"whole.{ending}").stat().st_size > 1000
    for part in ("1/2", "2/2"):
        simulate(trained, "parts.h5", "--part", part, "--rows-per-part", 16, "--what", "hits")
    assert run("--output", trained.folder / "parts.h5", command="merge") == 0
    merged = read_rows(trained.folder / "parts.h5")
    assert merged.calorimeter == trained.calorimeter
    np.testing.assert_array_equal(merged.responses, stored.responses)


def test_responses_are_validated_and_drawn(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    made, report = simulate(trained, "made.h5"), trained.folder / "report.html"
    reference = trained.folder / "all_test.h5"
    options = ("--reference", reference, "--output", report, "--resamples", 10)
    assert run(made, *options, command="validate") == 0
    assert f"Responses of {trained.calorimeter.name}" in report.read_text()
    assert run(made, "--rows", "0:3", command="show") == 0
    assert made.with_suffix(".png").is_file()
    other = write_showers(trained.folder / "zn.h5", toy_showers(4, 2))
    assert run(made, "--reference", other, "--output", report, command="validate") == 2
    assert f"the calorimeters differ in name ZN and {trained.calorimeter.name}" in capsys.readouterr().err


def test_a_server_answers_and_names_the_calorimeter(trained: Trained) -> None:
    settings = ServerSettings(models=trained.folder / "models", http_port=0, grpc_port=0)
    expected = read_rows(simulate(trained, "local.h5"))
    server = RunningServer(settings)
    try:
        for url in (server.http, f"grpc://{server.grpc}"):
            stored = read_rows(simulate(trained, "remote.h5", "--server", url))
            assert stored.calorimeter == trained.calorimeter
            np.testing.assert_array_equal(stored.responses, expected.responses)
        query = {"pdg": "2112", "energy": "100", "x": "0", "y": "0", "calorimeter": trained.calorimeter.name}
        assert httpx.get(f"{server.http}/examples/nearest", params=query).json()["example"] is None
    finally:
        server.stop()


def test_o2_takes_zp_and_no_calorimeter_of_one_s_own(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    done = trained.train_zdc("export", trained.folder / "run", "--format", "o2")
    if trained.calorimeter is BOARD:
        assert done == 2
        return
    assert done == 0, capsys.readouterr().err
    graph = onnx.load(trained.folder / "run" / "o2" / "other.onnx").graph
    sizes = [dimension.dim_value for dimension in graph.output[0].type.tensor_type.shape.dim]
    assert sizes[1:] == [30, 56, 1]  # y, then x, as O2 reads it
    text = (trained.folder / "run" / "o2" / "README.md").read_text()
    assert "the fibre at (x, y) has the index\n  56 y + x" in text
    assert "ZDCFastSimModelPathProton" in text
    assert "<" not in text.replace("x < 22", "").replace("<https", "")
