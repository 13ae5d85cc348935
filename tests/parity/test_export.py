"""Export: ONNX equals torch, the card is correct, the service accepts the folder."""

import json
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from helpers.calorimeters import ZN
from helpers.files.shower_samples import face_particles
from helpers.models.training_runs import trained
from zdc_common.errors import ConfigError, ModelError
from zdc_common.file_content import sha256_of
from zdc_detector.card import CARD_FILE, GOLDEN_FILE, GRAPH_FILE, ModelCard
from zdc_detector.particles import ENERGY, PX, PZ, VX, VZ
from zdc_detector.random import normals
from zdc_metrics import Report
from zdc_service.settings import EngineSettings
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import SimulationRequest
from zdc_training.cli import main
from zdc_training.data.datasets import load_split
from zdc_training.evaluation.generate import generate, network
from zdc_training.export.service import export
from zdc_training.nn import graph as graph_module
from zdc_training.nn.graph import ExportedGraph, check_parity, flops
from zdc_training.runs.provenance import git_commit
from zdc_training.runs.ranges import trained_ranges
from zdc_training.runs.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Trained and evaluated."""
    run = trained(tmp_path_factory.mktemp("training"))
    main(["evaluate", str(run.folder), "--resamples", "20", "--repeats", "2"])
    return run


@pytest.fixture(scope="module")
def models(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the exported model."""
    folder = tmp_path_factory.mktemp("models")
    assert export(run, folder) == folder / "toy" / "1"
    return folder


def test_onnx_equals_torch_for_batches_of_1_to_1000(run: Run, models: Path) -> None:
    session = ort.InferenceSession(models / "toy" / "1" / GRAPH_FILE, providers=["CPUExecutionProvider"])
    model = run.load_model()
    conditions = face_particles(1000, seed=9).conditions.copy()
    conditions[::10, PX] = conditions[::10, PZ] * 1e-3  # these miss the face
    noise = normals(4, 0, 1000, model.noise)
    with torch.no_grad():
        expected = model.rates(torch.from_numpy(conditions), torch.from_numpy(noise)).numpy()
    assert expected[::10].sum() == 0
    for size in (1, 2, 17, 256, 1000):
        found = session.run(None, {"particles": conditions[:size], "noise": noise[:size]})[0]
        assert np.abs(found - expected[:size]).max() <= 1e-4 * expected.max()


def test_a_graph_that_differs_is_refused(run: Run, models: Path, tmp_path: Path) -> None:
    graph = onnx.load(models / "toy" / "1" / GRAPH_FILE)
    weights = next(i for i in graph.graph.initializer if "noise_generator" in i.name and "weight" in i.name)
    values = onnx.numpy_helper.to_array(weights) * 1.5
    weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))
    onnx.save(graph, tmp_path / GRAPH_FILE)
    model = run.load_model()
    with pytest.raises(ModelError, match="ONNX differs from torch by"):
        check_parity(ExportedGraph(model).eval(), tmp_path / GRAPH_FILE, face_particles(50))


def test_the_card_says_what_is_true(run: Run, models: Path) -> None:
    folder = models / "toy" / "1"
    card = ModelCard.read(folder)
    config = run.config()
    assert card.noise.dimension == run.load_model().noise == 10
    assert card.finish is config.output.finish
    data = {**json.loads(config.data.model_dump_json()), "train": "train.h5", "test": "test.h5"}
    assert card.config == {**json.loads(config.model_dump_json()), "data": data}
    assert str(config.data.train.parent) not in (folder / CARD_FILE).read_text()
    assert card.data.files == {
        path.name: sha256_of(path) for path in (config.data.train, config.data.test) if path is not None
    }
    assert card.licence == ""
    assert card.training is not None
    assert card.training.seconds == pytest.approx(sum(each["seconds"] for each in run.records()), abs=0.1)
    assert (card.training.epochs, card.training.device) == (4, "cpu")
    assert {"wasserstein", "mae", "crps", "empty_share", "auc"} <= set(
        card.metrics
    )  # dispersion needs four simulations
    assert card.limitations[-1] == "Toy showers."
    assert "neglects decay products" in card.limitations[0]
    assert card.flops_per_response == flops(ExportedGraph(run.load_model()).eval())
    text = (folder / "README.md").read_text()
    assert "Trained on toy showers, commit `" in text
    assert "`, 4 epochs in " in text
    assert "Licence: not stated." in text
    assert "Geant4" not in text
    assert "Geant4" not in (folder / CARD_FILE).read_text()
    assert all(f"- {limitation}" in text for limitation in card.limitations)
    for name in ("responses.png", "distributions.png"):
        assert (folder / name).is_file()
        assert f"]({name})" in text
        assert f"![{name}]" not in text  # a caption instead


def test_flops_count_a_multiply_add_as_two(run: Run) -> None:
    model = run.load_model()
    hidden = [19, 8, 8, 8, 4, 4 * 3 * 3]
    dense = sum(2 * a * b for a, b in pairwise(hidden))
    # A transposed convolution multiplies each of its inputs with 5 x 5 weights for each feature map out.
    sizes = ((3, 4, 4), (6, 4, 4), (11, 4, 4), (22, 4, 1))
    convolutions = sum(2 * side * side * into * out * 25 for side, into, out in sizes)
    assert flops(ExportedGraph(model).eval()) == dense + convolutions


def test_the_graph_holds_no_path_of_the_machine_that_traced_it(models: Path) -> None:
    content = (models / "toy" / "1" / GRAPH_FILE).read_bytes()
    assert b".py" not in content
    assert str(Path.home()).encode() not in content


def test_the_service_answers_as_the_network_in_memory(run: Run, models: Path) -> None:
    model = run.load_model()
    particles = face_particles(40, seed=3)
    inside = ModelCard.read(models / "toy" / "1").ranges.outside(particles, ZN) == 0
    particles = particles[inside]
    with Simulator(EngineSettings(models=models, threads=1)) as simulator:
        plan = simulator.plan(SimulationRequest(particles, seed=11, repeats=3))
        result = simulator.submit(plan).result()
    expected = generate(network(model), particles, 3, 11, run.config().output.finish)
    assert result.response is not None
    answered = result.response.reshape(expected.shape)
    # ONNX and torch sum in another order: a rate that moves by 1e-6 can turn one Poisson count in a million.
    assert np.mean(answered != expected) < 1e-4
    assert expected.sum() > 0


def test_an_exported_model_has_the_figures_of_its_run(run: Run, models: Path, tmp_path: Path) -> None:
    test = run.config().data.test
    main(
        [
            "evaluate",
            str(models / "toy" / "1"),
            "--resamples",
            "20",
            "--repeats",
            "2",
            "--output",
            str(tmp_path),
            "--test",
            str(test),
        ]
    )
    exported = Report.model_validate_json((tmp_path / "metrics.json").read_bytes()).overall.figures
    trained = Report.model_validate_json(run.metrics.read_bytes()).overall.figures
    for name in ("wasserstein", "mae", "crps"):
        # The same rates to rounding: a few Poisson counts in a million differ.
        assert exported[name].value == pytest.approx(trained[name].value, rel=1e-3)
        assert exported[name].floor == trained[name].floor


def test_golden_particles_stay_away_from_the_edges_of_their_cells(models: Path) -> None:
    folder = models / "toy" / "1"
    golden = np.load(folder / GOLDEN_FILE)
    calorimeter = ModelCard.read(folder).calorimeter
    cells = calorimeter.impact_points(golden["particles"]) / 0.16  # pitch [cm]
    distance = np.abs(cells - np.rint(cells))
    assert len(cells) > 10
    assert distance.min() > 0.09


def test_no_version_is_replaced_unless_it_is_named(run: Run, models: Path, tmp_path: Path) -> None:
    before = (models / "toy" / "1" / CARD_FILE).read_bytes()
    folder = tmp_path / "toy"
    shutil.copytree(models / "toy" / "1", folder / "7")
    assert export(run, tmp_path) == folder / "8"
    assert ModelCard.read(folder / "8").version == 8
    with pytest.raises(ConfigError, match=r"toy/7 exists; add --overwrite, or name no version to write the next one"):
        export(run, tmp_path, version=7)
    with pytest.raises(ConfigError, match=r"say which with --model-version \(.*toy has 7, 8\)"):
        export(run, tmp_path, overwrite=True)
    assert (folder / "7" / CARD_FILE).read_bytes() == before
    assert export(run, tmp_path, overwrite=True, version=7) == folder / "7"
    assert ModelCard.read(folder / "7").version == 7


def test_a_failed_export_leaves_nothing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_module, "PARITY_TOLERANCE", -1.0)
    with pytest.raises(ModelError, match="ONNX differs from torch"):
        export(run, tmp_path)
    assert not list((tmp_path / "toy").iterdir())


def test_export_wants_an_evaluated_run(run: Run, tmp_path: Path) -> None:
    copy = Run(tmp_path / "copy")
    shutil.copytree(run.folder, copy.folder)
    copy.metrics.unlink()
    with pytest.raises(ConfigError, match="run `train-zdc evaluate"):
        export(copy, tmp_path / "models")
    copy.metrics.write_text("{}")
    with pytest.raises(ConfigError, match=r"metrics\.json: is not a report; run `train-zdc evaluate"):
        export(copy, tmp_path / "models")


def test_ranges_are_those_of_the_showers_that_were_trained_on(run: Run) -> None:
    data = run.config().data
    everything, few = (load_split(data.model_copy(update={"limit": limit}))[0] for limit in (None, 12))
    assert len(few) == 12
    for showers in (everything, few):
        ranges = trained_ranges(showers, "cell")
        energies = showers.particles.conditions[:, ENERGY]
        lowest, highest = (f(pick) for f, pick in ((min, [s.energy[0] for s in ranges.species]),
                                                   (max, [s.energy[1] for s in ranges.species])))  # fmt: skip
        assert energies.min() / 1.1 < lowest <= energies.min()
        assert energies.max() <= highest < 1.1 * energies.max()
    vertices = everything.particles.conditions[:, VX : VZ + 1]
    seen = tuple(zip(vertices.min(axis=0).tolist(), vertices.max(axis=0).tolist(), strict=True))
    assert trained_ranges(everything, "linear").vertex == trained_ranges(everything, "face").vertex == seen
    assert trained_ranges(everything, "cell").vertex[2] == (-100, 100)


def test_the_commit_is_that_of_the_checkout_that_tracks_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(["git", *who, *words], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    tracked, ignored = tmp_path / "tracked.py", tmp_path / "ignored.py"
    tracked.touch()
    ignored.touch()
    assert git_commit(tracked) == "unknown"
    git("init", "-q")
    git("add", "tracked.py")
    git("commit", "-q", "-m", "first")
    assert git_commit(tracked) == git("rev-parse", "--short=12", "HEAD")
    tracked.write_text("changed")
    assert git_commit(tracked).endswith("-dirty")
    assert git_commit(ignored) == "unknown"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit(tracked) == "unknown"
