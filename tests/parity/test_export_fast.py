"""Export of the fast generator: ONNX equals torch, rows are independent, the service serves it."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from helpers.files.shower_samples import face_particles
from helpers.models.stored_models import stored_models
from helpers.models.training_runs import finished, tiny_fast_config
from numpy.typing import NDArray
from zdc_detector.card import GOLDEN_FILE, GRAPH_FILE, ModelCard
from zdc_detector.particles import PX, PZ
from zdc_detector.random import normals
from zdc_service.engine.engine import Engine
from zdc_service.settings import EngineSettings
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import SimulationRequest
from zdc_training.cli import main
from zdc_training.config.fast import FastConfig
from zdc_training.evaluation.generate import generate, network
from zdc_training.export.service import export
from zdc_training.fast.model import FastAutoencoder
from zdc_training.nn.graph import ExportedGraph, flops
from zdc_training.runs.run import Run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Trained and evaluated."""
    folder = tmp_path_factory.mktemp("training")
    run = finished(folder / "run", tiny_fast_config(folder))
    main(["evaluate", str(run.folder), "--resamples", "20", "--repeats", "2"])
    return run


@pytest.fixture(scope="module")
def models(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the exported model."""
    folder = tmp_path_factory.mktemp("models")
    assert export(run, folder) == folder / "toy-fast" / "1"
    return folder


def test_onnx_equals_torch_for_batches_of_1_to_1000(run: Run, models: Path) -> None:
    session = ort.InferenceSession(models / "toy-fast" / "1" / GRAPH_FILE, providers=["CPUExecutionProvider"])
    model = run.load_model()
    particles = face_particles(1000, seed=9)
    conditions, noise = particles.conditions.copy(), normals(4, 0, 1000, model.noise)
    conditions[::10, PX] = conditions[::10, PZ] * 1e-3  # these miss the face
    pdg = particles.pdg.astype(np.int64)
    inputs: dict[str, NDArray[Any]] = {"particles": conditions, "noise": noise, "pdg": pdg}
    with torch.no_grad():
        expected = model.rates(*(torch.from_numpy(array) for array in inputs.values())).numpy()
    assert expected[::10].sum() == 0
    assert expected.sum() > 0
    for size in (1, 2, 17, 256, 1000):
        found = session.run(None, {name: array[:size] for name, array in inputs.items()})[0]
        assert np.abs(found - expected[:size]).max() <= 1e-4 * expected.max()


def test_rows_keep_their_bytes_in_batches_of_any_size_without_padding(models: Path) -> None:
    (stored,) = stored_models(models)
    assert Engine(stored).row_multiple == 1


def test_the_card_says_what_is_true(run: Run, models: Path) -> None:
    card = ModelCard.read(models / "toy-fast" / "1")
    config = run.config()
    assert isinstance(config, FastConfig)
    assert (card.takes_pdg, card.output, card.noise.dimension) == (True, "rate", config.model.noise)
    data = {**json.loads(config.data.model_dump_json()), "train": "train.h5", "test": "test.h5"}  # no paths
    assert card.config == {**json.loads(config.model_dump_json()), "data": data}
    assert card.scaler == {"kind": "entry", "species": list(config.model.species)}
    assert card.ranges.vertex == ((-1, 1), (-1, 1), (-100, 100))
    assert not any("only by mass and charge" in limitation for limitation in card.limitations)
    assert card.flops_per_response == flops(ExportedGraph(run.load_model()).eval())


def test_flops_are_those_of_the_dense_layers(run: Run) -> None:
    model = run.load_model()
    assert isinstance(model, FastAutoencoder)
    columns, units = model.features.columns, model.frame.width
    chains = [(columns, 16, 16), (16 + model.generator_noise, 16, 16, 4), (16 + 4, 16, 16, units), (columns, 16, 16, 1)]
    dense = sum(2 * a * b for chain in chains for a, b in pairwise(chain))
    assert flops(ExportedGraph(model).eval()) == dense


def test_golden_rows_are_steady(models: Path) -> None:
    folder = models / "toy-fast" / "1"
    golden = np.load(folder / GOLDEN_FILE)
    assert golden["pdg"].dtype == np.int64
    assert len(golden["rates"]) > 10
    session = ort.InferenceSession(folder / GRAPH_FILE, providers=["CPUExecutionProvider"])
    moved = golden["particles"] * np.linspace(1 - 2e-6, 1 + 2e-6, 9, dtype=np.float32)
    found = session.run(None, {"particles": moved, "noise": golden["noise"], "pdg": golden["pdg"]})[0]
    assert np.abs(found - golden["rates"]).max() < 1e-3 * golden["rates"].max()


def test_the_service_answers_as_the_network_in_memory(run: Run, models: Path) -> None:
    particles = face_particles(40, seed=3)
    card = ModelCard.read(models / "toy-fast" / "1")
    particles = particles[card.ranges.outside(particles, card.calorimeter) == 0]
    with Simulator(EngineSettings(models=models, threads=1)) as simulator:
        plan = simulator.plan(SimulationRequest(particles, seed=11, repeats=3))
        result = simulator.submit(plan).result()
    expected = generate(network(run.load_model()), particles, 3, 11, run.config().output.finish)
    assert result.response is not None
    # ONNX and torch sum in another order: a rate that moves by 1e-6 can turn one Poisson count in a million.
    assert np.mean(result.response.reshape(expected.shape) != expected) < 1e-4
    assert expected.sum() > 0
