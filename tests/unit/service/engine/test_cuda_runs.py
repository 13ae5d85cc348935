"""The parts of `zdc_service.engine.cuda` that need no GPU: sizes, padding, reused buffers, one thread."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from helpers.models.stored_models import stored_models
from helpers.models.tiny_model import NOISE, STRIPS, TinyModel, some_particles, write_model
from zdc_service.engine.cuda import BoundRuns, Feeds, batch_sizes, padded_size
from zdc_service.engine.engine import Engine
from zdc_service.engine.providers import ON_CPU, open_session

SIZES = (1, 2, 8, 9, 63, 64, 65, 100, 256)


@pytest.mark.parametrize(
    ("max_rows", "sizes"), [(1, (1,)), (2, (1, 2)), (8, (1, 8)), (64, (1, 8, 64)), (1024, (1, 8, 64, 256, 1024))]
)
def test_sizes_end_at_the_largest_batch(max_rows: int, sizes: tuple[int, ...]) -> None:
    assert batch_sizes(max_rows) == sizes


@pytest.mark.parametrize(
    ("rows", "size"), [(1, 1), (2, 8), (8, 8), (9, 64), (64, 64), (65, 256), (257, 1024), (1024, 1024), (3000, 1024)]
)
def test_rows_take_the_smallest_size_that_holds_them(rows: int, size: int) -> None:
    assert padded_size(rows, batch_sizes(1024)) == size


@pytest.fixture(scope="module", params=[TinyModel(), TinyModel(calorimeter=STRIPS, takes_pdg=True)], ids=["zn", "pdg"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models"), request.param).parent.parent


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    return Engine(stored_models(folder)[0])


@pytest.fixture(scope="module")
def runs(folder: Path) -> BoundRuns:
    return BoundRuns(open_session(stored_models(folder)[0], ON_CPU), 64, device="cpu")


def feeds(engine: Engine, rows: int, seed: int) -> Feeds:
    particles = some_particles(rows, seed=seed).toward_a()
    noise = np.random.default_rng(seed).normal(size=(rows, NOISE)).astype(np.float32)
    found: Feeds = {"particles": particles.conditions, "noise": noise}
    return {**found, "pdg": particles.pdg} if engine.card.takes_pdg else found


def wanted(engine: Engine, given: Feeds) -> np.ndarray:
    pdg = given.get("pdg", np.zeros(len(given["noise"]), dtype=np.int64))
    return engine.run(given["particles"].astype(np.float32), given["noise"].astype(np.float32), pdg.astype(np.int64))


@pytest.mark.parametrize("rows", SIZES)
def test_padded_and_cut_batches_give_their_rows(engine: Engine, runs: BoundRuns, rows: int) -> None:
    given = feeds(engine, rows, seed=rows)
    np.testing.assert_array_equal(runs.run(given), wanted(engine, given))


def test_an_answer_is_not_overwritten_by_the_next(engine: Engine, runs: BoundRuns) -> None:
    given = [feeds(engine, 50, seed=seed) for seed in (1, 2)]
    answers = [runs.run(batch) for batch in given]
    for answer, batch in zip(answers, given, strict=True):
        np.testing.assert_array_equal(answer, wanted(engine, batch))


def test_callers_take_turns(engine: Engine, runs: BoundRuns) -> None:
    given = [feeds(engine, 1 + seed % 80, seed=seed) for seed in range(60)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(runs.run, given))
    for answer, batch in zip(answers, given, strict=True):
        np.testing.assert_array_equal(answer, wanted(engine, batch))


def test_an_error_reaches_only_its_caller(engine: Engine, runs: BoundRuns) -> None:
    given = feeds(engine, 5, seed=1)
    with pytest.raises(ValueError, match="broadcast"):
        runs.run({**given, "noise": np.zeros((5, NOISE + 1), dtype=np.float32)})
    np.testing.assert_array_equal(runs.run(given), wanted(engine, given))
