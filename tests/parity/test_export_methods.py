"""Every method is exported under one contract: ONNX equals torch, and the service answers for it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from helpers.calorimeters import ZN
from helpers.files.shower_samples import face_particles
from helpers.models.training_runs import METHODS, finished, method_config
from zdc_common.file_content import sha256_of
from zdc_detector.card import CARD_FILE, GRAPH_FILE, ModelCard
from zdc_detector.particles import PX, PZ
from zdc_detector.random import normals
from zdc_service.settings import EngineSettings
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import SimulationRequest
from zdc_training.cli import main
from zdc_training.config.config import override_config
from zdc_training.data.datasets import load_split
from zdc_training.evaluation.generate import generate, network
from zdc_training.export.service import export
from zdc_training.nn.method import build_learner
from zdc_training.runs.fine_tuning import begin_with
from zdc_training.runs.run import Run
from zdc_training.runs.source import open_source
from zdc_training.runs.weights_file import WEIGHTS_FILE

pytestmark = pytest.mark.slow

#: Those that no other file exports.
NAMES = [name for name in METHODS if name not in ("e2esae", "fast")]


@dataclass(frozen=True)
class Exported:
    """A run, and a models folder with its export only."""

    run: Run
    models: Path
    folder: Path


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Figures of one run, used for all runs, because computing them takes longer than the other tests here."""
    folder = tmp_path_factory.mktemp("report")
    config = override_config(method_config(folder, "cvae"), ["optimiser.epochs=1"])
    run = finished(folder / "run", config)
    main(["evaluate", str(run.folder), "--resamples", "2", "--repeats", "2"])
    return run.metrics


@pytest.fixture(scope="module", params=NAMES)
def exported(request: pytest.FixtureRequest, report: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """One of each method, after one epoch."""
    name = str(request.param)
    folder = tmp_path_factory.mktemp(name)
    run = finished(folder / "run", override_config(method_config(folder, name), ["optimiser.epochs=1"]))
    shutil.copy(report, run.metrics)
    models = folder / "models"
    assert export(run, models) == models / name / "1"
    return Exported(run, models, models / name / "1")


def test_onnx_equals_torch(exported: Exported) -> None:
    model, card = exported.run.load_model(), ModelCard.read(exported.folder)
    assert (card.noise.dimension, card.output) == (model.noise, model.output)
    assert card.finish is exported.run.config().output.finish
    session = ort.InferenceSession(exported.folder / GRAPH_FILE, providers=["CPUExecutionProvider"])
    conditions, noise = face_particles(300, seed=9).conditions.copy(), normals(4, 0, 300, model.noise)
    conditions[::10, PX] = conditions[::10, PZ] * 1e-3  # these miss the face
    with torch.no_grad():
        expected = model.rates(torch.from_numpy(conditions), torch.from_numpy(noise)).numpy()
    assert expected[::10].sum() == 0
    assert expected.sum() > 0
    for size in (1, 2, 300):
        found = session.run(None, {"particles": conditions[:size], "noise": noise[:size]})[0]
        assert np.abs(found - expected[:size]).max() <= 1e-4 * expected.max()


def test_the_service_answers_as_the_networks_in_memory(exported: Exported) -> None:
    particles = face_particles(40, seed=3)
    particles = particles[ModelCard.read(exported.folder).ranges.outside(particles, ZN) == 0]
    with Simulator(EngineSettings(models=exported.models, threads=1)) as simulator:
        plan = simulator.plan(SimulationRequest(particles, seed=11, repeats=2))
        response = simulator.submit(plan).result().response
    assert response is not None
    expected = generate(network(exported.run.load_model()), particles, 2, 11, exported.run.config().output.finish)
    # ONNX and torch sum in different orders: a rounded rate may give another count.
    assert np.mean(response.reshape(expected.shape) != expected) < 1e-4


def test_a_training_begins_with_all_weights_of_an_exported_model_or_with_those_of_its_graph(
    exported: Exported, tmp_path: Path
) -> None:
    config, model = exported.run.config(), exported.run.load_model()
    showers = load_split(config.data)[0]
    whole = build_learner(override_config(config, ["seed=5"]), showers, torch.device("cpu")).model
    assert begin_with(open_source(exported.folder), config, whole, showers).untrained == []
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in whole.state_dict().items())

    folder = tmp_path / "without"
    shutil.copytree(exported.folder, folder)
    card = ModelCard.read(folder)
    assert sha256_of(folder / WEIGHTS_FILE) == card.weights_sha256
    (folder / WEIGHTS_FILE).unlink()
    (folder / CARD_FILE).write_text(card.model_copy(update={"weights_sha256": ""}).model_dump_json())
    part, lacking = open_source(folder).networks(showers)
    assert lacking == list(model.training_only)  # checked against ONNX within
    inputs = torch.from_numpy(showers.particles.conditions), torch.from_numpy(normals(1, 0, len(showers), model.noise))
    with torch.no_grad():
        expected, found = model.rates(*inputs), part.eval().rates(*inputs)
    assert float((found - expected).abs().max()) < 1e-4 * float(expected.max())
