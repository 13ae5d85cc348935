"""The engine on a GPU: rates within the golden tolerance, CUDA graphs that change nothing, responses per second."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from helpers.models.stored_models import stored_models
from helpers.models.tiny_model import some_particles
from zdc_detector.card import GOLDEN_TOLERANCE
from zdc_service.engine.cuda import batch_sizes
from zdc_service.engine.engine import Engine
from zdc_service.engine.model_store import StoredModel
from zdc_service.engine.providers import CUDA, GPU_BATCH_ROWS, Placement, open_session, place
from zdc_service.settings import EngineSettings
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import OutOfRange, Output, SimulationRequest

ON_GPU = Placement(CUDA, GPU_BATCH_ROWS)
SIZES = (*batch_sizes(GPU_BATCH_ROWS), 2, 100, 1000, 3000)
SECONDS, THREADS = 5.0, 4


@pytest.fixture(scope="module")
def model() -> StoredModel:
    """The shipped model."""
    return stored_models()[0]


@pytest.fixture(scope="module")
def engine(model: StoredModel) -> Engine:
    """An engine that has passed the golden check of its constructor."""
    return Engine(model, ON_GPU)


def rates(engine: Engine, rows: int) -> np.ndarray:
    particles = some_particles(rows, seed=3).toward_a()
    noise = np.random.default_rng(4).normal(size=(rows, engine.card.noise.dimension)).astype(np.float32)
    return engine.run(particles.conditions, noise, particles.pdg)


def far(found: np.ndarray, wanted: np.ndarray) -> float:
    """Largest difference, relative to the largest pixel."""
    return float(np.max(np.abs(found - wanted)) / np.max(wanted))


def test_cuda_graphs_were_recorded(model: StoredModel) -> None:
    """Raise if a node of the shipped model runs on the CPU, which forbids graphs."""
    assert open_session(model, ON_GPU).get_provider_options()[CUDA]["enable_cuda_graph"] == "1"


@pytest.mark.parametrize("rows", SIZES)
def test_rates_are_the_cpus_within_the_golden_tolerance(model: StoredModel, engine: Engine, rows: int) -> None:
    assert far(rates(engine, rows), rates(Engine(model), rows)) <= GOLDEN_TOLERANCE


@pytest.mark.parametrize("rows", SIZES)
def test_cuda_graphs_change_nothing(model: StoredModel, engine: Engine, rows: int) -> None:
    without = Engine(model, replace(ON_GPU, cuda_graphs=False))
    for _ in range(2):  # recorded and replayed
        assert far(rates(engine, rows), rates(without, rows)) <= 1e-6


def test_auto_takes_the_gpu(model: StoredModel) -> None:
    assert place(EngineSettings(device="auto"), model) == ON_GPU


def test_callers_get_their_own_rows(engine: Engine) -> None:
    sizes = [1 + 37 * i % 1500 for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda rows: rates(engine, rows), sizes))
    for rows, answer in zip(sizes, answers, strict=True):
        assert far(answer, rates(engine, rows)) <= 1e-6


def test_responses_per_second(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    """Prints figures; the aim on a data-centre GPU is 1,000,000 in the engine."""
    lines = [f"{'rows':>6} {'responses/s':>12}  in the engine, one caller"]
    for rows in batch_sizes(GPU_BATCH_ROWS):
        lines.append(f"{rows:6} {_rate(partial(_rows_of, engine, rows)):12.0f}")
    settings = EngineSettings(device="cuda", threads=THREADS)
    particles = some_particles(8192)
    request = SimulationRequest(particles, seed=1, output=Output.CHANNELS, out_of_range=OutOfRange.EXTRAPOLATE)
    with Simulator(settings) as simulator:
        lines.append(f"{8192:6} {_rate(lambda: len(simulator.simulate(request).channels)):12.0f}  as channels")
    with capsys.disabled():
        print("\n" + "\n".join(lines))


def _rows_of(engine: Engine, rows: int) -> int:
    return len(rates(engine, rows))


def _rate(call: Callable[[], int]) -> float:
    call()
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        done += call()
    return done / (time.perf_counter() - began)
