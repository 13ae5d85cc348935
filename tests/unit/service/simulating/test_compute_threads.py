"""Queue and threads: bounded, fair, and an error of one job fails no other."""

import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pytest
from helpers.models.gated_engine import GatedEngine
from helpers.models.stored_models import stored_models
from helpers.models.tiny_model import NOISE, some_particles
from helpers.waiting import wait_until
from zdc_common.errors import DeadlineError, ModelError, NotReadyError, OverloadedError
from zdc_detector.finish import finish_rates
from zdc_detector.particles import Particles
from zdc_detector.random import normals
from zdc_service.engine.engine import Engine
from zdc_service.simulating.compute_threads import ComputeThreads
from zdc_service.simulating.job import Job
from zdc_service.simulating.plan import Plan, Tally
from zdc_service.simulating.planner import Planner
from zdc_service.simulating.work_queue import WorkQueue
from zdc_service.simulation import Output
from zdc_service.telemetry.instruments import Instruments
from zdc_service.telemetry.statistics import Timing

BATCH = 16


class Computer:
    """A queue of 1000 rows and its threads."""

    def __init__(self, planner: Planner, threads: int = 1):
        self.queue = WorkQueue(threads, most_rows=1000)
        self._threads = ComputeThreads(self.queue, planner, threads, Instruments())

    def submit(self, job: Job) -> None:
        self.queue.add(job)
        self.queue.wake()

    def close(self) -> None:
        self._threads.close()


@pytest.fixture(scope="module")
def loaded(models_folder: Path) -> GatedEngine:
    return GatedEngine(stored_models(models_folder)[1])


@pytest.fixture
def engine(loaded: GatedEngine) -> GatedEngine:
    loaded.fresh()
    loaded.max_batch_rows = BATCH
    return loaded


@pytest.fixture
def computer(planner: Planner) -> Iterator[Computer]:
    running = Computer(planner)
    yield running
    running.close()


def make_plan(
    engine: Engine,
    particles: Particles,
    index: np.ndarray | None = None,
    seed: int = 7,
    first_row: int = 0,
    repeats: int = 1,
    output: Output = Output.RESPONSE,
) -> Plan:
    n = len(particles)
    places = np.arange(n, dtype=np.uint32) if index is None else index
    side = np.full(n, b"A", dtype="S1")
    tally = Tally(n * repeats, engine.statistics)
    finish = engine.card.finish
    return Plan(engine, particles, places, side, seed, first_row, repeats, output, finish, {}, {}, tally)


def job(engine: Engine, rows: int, seed: int = 7, deadline: float | None = None) -> Job:
    return Job(make_plan(engine, some_particles(rows, seed, sides=False), seed=seed), 0, rows, deadline)


def expected(engine: Engine, particles: Particles, seed: int, first_row: int = 0) -> np.ndarray:
    """Responses without queue and job."""
    n = len(particles)
    rates = engine.run(particles.conditions, normals(seed, first_row, n, NOISE), particles.pdg)
    return finish_rates(rates, engine.card.finish, seed, first_row)


def blocked(engine: GatedEngine, computer: Computer) -> Job:
    """Occupy the only thread until the gate opens."""
    engine.gate.clear()
    first = job(engine, 1)
    computer.submit(first)
    wait_until(lambda: bool(engine.batches))
    return first


def test_many_jobs_get_their_own_rows(engine: GatedEngine, computer: Computer) -> None:
    jobs = [job(engine, rows, seed) for seed, rows in enumerate([1, 3, 40, 2, 1, 1, 100, 17])]
    first = blocked(engine, computer)
    for each in jobs:
        computer.submit(each)
    engine.gate.set()
    results = [each.future.result(30) for each in jobs]
    assert max(engine.batches) <= BATCH
    for seed, (each, result) in enumerate(zip(jobs, results, strict=True)):
        images = expected(engine, some_particles(each.stop, seed, sides=False), seed)
        np.testing.assert_array_equal(result.response, images)
        np.testing.assert_array_equal(result.channels, engine.card.calorimeter.channel_sums(images))
    assert first.future.done()


def test_what_is_queued_shares_a_batch(engine: GatedEngine, computer: Computer) -> None:
    blocked(engine, computer)
    jobs = [job(engine, 1, seed) for seed in range(BATCH)]
    for each in jobs:
        computer.submit(each)
    engine.gate.set()
    for each in jobs:
        each.future.result(30)
    assert engine.batches == [1, BATCH]


def test_a_huge_job_does_not_hold_up_a_small_one(engine: GatedEngine, computer: Computer) -> None:
    blocked(engine, computer)
    huge, small = job(engine, 50 * BATCH), job(engine, 2)
    done_before: list[int] = []
    small.future.add_done_callback(lambda _: done_before.append(huge.next_row))
    computer.submit(huge)
    computer.submit(small)
    engine.gate.set()
    small.future.result(30)
    huge.future.result(30)
    assert done_before[0] <= 3 * BATCH


def test_rows_depend_on_their_number_not_on_gaps_or_repeats(engine: GatedEngine, computer: Computer) -> None:
    particles, repeats = some_particles(9, sides=False), 3
    everything = Job(make_plan(engine, particles, repeats=repeats, first_row=2**40), 0, 27)
    index = np.array([0, 2, 3, 8], dtype=np.uint32)
    some = Job(make_plan(engine, particles[index], index, repeats=repeats, first_row=2**40), 1, 12)
    for each in (everything, some):
        computer.submit(each)
    whole, part = everything.future.result(30), some.future.result(30)
    rows = (index[:, None] * repeats + np.arange(repeats)).ravel()[1:]
    np.testing.assert_array_equal(part.response, np.asarray(whole.response)[rows])
    np.testing.assert_array_equal(part.particle, whole.particle[rows])
    repeated = particles[np.repeat(np.arange(9), repeats)]
    np.testing.assert_array_equal(whole.response, expected(engine, repeated, 7, 2**40))


@pytest.mark.parametrize("output", [Output.HITS, Output.CHANNELS])
def test_hits_and_channels_of_many_slices(engine: GatedEngine, computer: Computer, output: Output) -> None:
    particles = some_particles(100, sides=False)
    each = Job(make_plan(engine, particles, output=output), 0, 100)
    computer.submit(each)
    result, images = each.future.result(30), expected(engine, particles, 7)
    np.testing.assert_array_equal(result.channels, engine.card.calorimeter.channel_sums(images))
    assert result.response is None
    if output is Output.HITS:
        assert result.hits is not None
        dense = np.zeros((100, images[0].size), dtype=np.uint16)
        offsets = result.hits.offsets.astype(np.int64)
        row = np.repeat(np.arange(100), offsets[1:] - offsets[:-1])
        dense[row, result.hits.fibre] = result.hits.photons
        np.testing.assert_array_equal(dense.reshape(images.shape), images)
        assert result.hits.photons.all()


def test_an_error_fails_its_own_job_only(engine: GatedEngine, computer: Computer) -> None:
    blocked(engine, computer)
    good = [job(engine, 2, seed) for seed in range(3)]
    bad_particles = Particles(np.full(2, 22), np.ones((2, 8), dtype=np.float32))  # a column is missing
    bad = Job(make_plan(engine, bad_particles), 0, 2)
    for each in (good[0], bad, *good[1:]):
        computer.submit(each)
    engine.gate.set()
    with pytest.raises(Exception, match=r"(?i)dim|shape|index"):
        bad.future.result(30)
    for seed, each in enumerate(good):
        images = expected(engine, some_particles(2, seed, sides=False), seed)
        np.testing.assert_array_equal(each.future.result(30).response, images)


def test_rates_that_are_not_finite_are_an_error_of_their_job(engine: GatedEngine, computer: Computer) -> None:
    blocked(engine, computer)
    particles = some_particles(2, sides=False)
    particles.conditions[1, 0] = np.inf
    bad, good = Job(make_plan(engine, particles), 0, 2), job(engine, 2)
    for each in (bad, good):
        computer.submit(each)
    engine.gate.set()
    with pytest.raises(ModelError, match="tiny version 1 gave rates that are not finite"):
        bad.future.result(30)
    np.testing.assert_array_equal(good.future.result(30).response, expected(engine, some_particles(2, 7, False), 7))


def test_a_failed_delivery_fails_its_own_job_and_repeats_no_other(engine: GatedEngine, computer: Computer) -> None:
    class Undeliverable(Job):
        def deliver(self, *_: object) -> None:
            raise MemoryError("no room for the images")

    class Counted(Job):
        deliveries = 0

        def deliver(self, start: int, images: np.ndarray, channels: np.ndarray, timing: Timing) -> None:
            self.deliveries += 1
            super().deliver(start, images, channels, timing)

    blocked(engine, computer)
    plan = make_plan(engine, some_particles(2, sides=False))
    good, bad = Counted(plan, 0, 2), Undeliverable(plan, 0, 2)
    for each in (good, bad):
        computer.submit(each)
    engine.gate.set()
    with pytest.raises(MemoryError):
        bad.future.result(30)
    good.future.result(30)
    computer.close()
    assert good.deliveries == 1


def test_cancelled_work_is_not_computed(engine: GatedEngine, computer: Computer) -> None:
    blocked(engine, computer)
    unwanted, wanted = job(engine, 900), job(engine, 2)
    computer.submit(unwanted)
    assert unwanted.future.cancel()
    computer.submit(wanted)
    computer.submit(job(engine, 900))  # fits, since the cancelled rows are gone
    engine.gate.set()
    wanted.future.result(30)
    with pytest.raises(CancelledError):
        unwanted.future.result(0)
    computer.close()
    assert sum(engine.batches) == 1 + 2 + 900


def test_late_work_is_not_computed(engine: GatedEngine, computer: Computer) -> None:
    blocked(engine, computer)
    late, wanted = job(engine, 10, deadline=time.monotonic() - 1), job(engine, 2)
    for each in (late, wanted):
        computer.submit(each)
    engine.gate.set()
    wanted.future.result(30)
    with pytest.raises(DeadlineError, match="deadline passed"):
        late.future.result(30)
    assert sum(engine.batches) == 1 + 2


def test_a_full_queue_refuses_and_recovers(engine: GatedEngine, computer: Computer) -> None:
    blocked(engine, computer)
    queued = job(engine, 1000)
    computer.submit(queued)
    with pytest.raises(OverloadedError, match="1000 rows are waiting and 1 more would pass the limit of 1000"):
        computer.submit(job(engine, 1))
    engine.gate.set()
    queued.future.result(30)
    again = job(engine, 1)
    computer.submit(again)
    again.future.result(30)


def test_closing_finishes_what_was_accepted(engine: GatedEngine, planner: Planner) -> None:
    computer = Computer(planner, threads=3)
    jobs = [job(engine, 30, seed) for seed in range(10)]
    before = sum(rows * count for rows, count in engine.statistics.totals().executions.items())
    for each in jobs:
        computer.submit(each)
    computer.close()
    assert all(each.future.done() for each in jobs)
    assert len(computer.queue) == 0
    totals = engine.statistics.totals()
    assert sum(rows * count for rows, count in totals.executions.items()) == before + 300
    with pytest.raises(NotReadyError, match="shutting down"):
        computer.submit(job(engine, 1))
