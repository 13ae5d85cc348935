"""Every method is exported under one contract: ONNX equals torch, and one server answers for all of them."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from shower_samples import face_particles
from training_runs import METHODS, finished, method_config
from zdc_detector.card import GRAPH_FILE, ModelCard
from zdc_detector.particles import PX, PZ
from zdc_detector.random import normals
from zdc_service.settings import EngineSettings
from zdc_service.simulation import SimulationRequest
from zdc_service.simulator import Simulator
from zdc_training.cli import main
from zdc_training.config import override_config
from zdc_training.export import export
from zdc_training.generate import generate, network
from zdc_training.run import Run

#: Those that no other file exports.
NAMES = [name for name in METHODS if name not in ("e2esae", "fast")]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """One of each method, after one epoch, evaluated."""
    folder = tmp_path_factory.mktemp("training")
    made = {}
    for name in NAMES:
        made[name] = finished(folder / name, override_config(method_config(folder, name), ["optimiser.epochs=1"]))
        main(["evaluate", str(made[name].folder), "--resamples", "2"])
    return made


@pytest.fixture(scope="module")
def models(runs: dict[str, Run], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All exported models."""
    folder = tmp_path_factory.mktemp("models")
    for name, run in runs.items():
        assert export(run, folder) == folder / name / "1"
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_onnx_equals_torch(runs: dict[str, Run], models: Path, name: str) -> None:
    model, card = runs[name].load_model(), ModelCard.read(models / name / "1")
    assert (card.noise.dimension, card.output) == (model.noise, model.output)
    assert card.finish is runs[name].config().output.finish
    session = ort.InferenceSession(models / name / "1" / GRAPH_FILE, providers=["CPUExecutionProvider"])
    conditions, noise = face_particles(300, seed=9).conditions.copy(), normals(4, 0, 300, model.noise)
    conditions[::10, PX] = conditions[::10, PZ] * 1e-3  # these miss the face
    with torch.no_grad():
        expected = model.rates(torch.from_numpy(conditions), torch.from_numpy(noise)).numpy()
    assert expected[::10].sum() == 0
    for size in (1, 2, 300):
        found = session.run(None, {"particles": conditions[:size], "noise": noise[:size]})[0]
        assert np.abs(found - expected[:size]).max() <= 1e-4 * expected.max()


def test_the_service_answers_as_the_networks_in_memory(runs: dict[str, Run], models: Path) -> None:
    particles = face_particles(40, seed=3)
    with Simulator(EngineSettings(models=models, default_model="cvae", threads=1)) as simulator:
        for name, run in runs.items():
            asked = particles[ModelCard.read(models / name / "1").ranges.outside(particles) == 0]
            request = SimulationRequest(asked, model=name, seed=11, repeats=2)
            response = simulator.submit(simulator.plan(request)).result().response
            assert response is not None
            expected = generate(network(run.load_model()), asked, 2, 11, run.config().output.finish)
            # ONNX and torch sum in another order: a count may turn where a rate is rounded.
            assert np.mean(response.reshape(expected.shape) != expected) < 1e-4
