"""The queue: whose turn it is, how much a thread takes, and that every row is counted once."""

import asyncio
import time
from typing import Any

import pytest
from helpers.models.dispatcher_desk import Desk, check, in_a_loop, small, turn
from helpers.models.tiny_model import some_particles
from helpers.waiting import until
from zdc_service.simulating.bundling import SmallRequest
from zdc_service.simulating.job import Job
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulating.work_queue import WorkQueue
from zdc_service.simulation import SimulationRequest


def waiting_small(desk: Desk, queue: WorkQueue, count: int, **fields: Any) -> list[SmallRequest]:
    """Requests of one row each in a queue that no thread works on."""
    loop = asyncio.get_running_loop()
    added = []
    for seed in range(count):
        request = SimulationRequest(some_particles(1, seed), seed=seed, **fields)
        engine = desk.planner.engine_of(request)
        added.append(SmallRequest(request, engine, loop.create_future(), None))
        queue.add_small(added[-1])
    return added


def waiting_job(desk: Desk, queue: WorkQueue, rows: int, **fields: Any) -> Job:
    """A job in the queue."""
    plan = desk.plan(SimulationRequest(some_particles(rows), **fields))
    job = Job(plan, 0, rows)
    queue.add(job)
    return job


@pytest.fixture
def queue() -> WorkQueue:
    return WorkQueue(threads=2, most_rows=1000)


@in_a_loop
async def test_small_requests_and_jobs_share_a_batch_by_halves(desk: Desk, queue: WorkQueue) -> None:
    """Neither a flood of small requests nor a large job holds up the other."""
    waiting_small(desk, queue, 200)
    job = waiting_job(desk, queue, 100)
    for done in (32, 64, 96):
        work = queue.wait()
        assert work is not None
        assert (len(work.small), [one.rows for one in work.job_rows]) == (32, [32])
        assert (job.next_row, len(queue)) == (done, 300 - 2 * done)
        queue.finished(work)


@in_a_loop
async def test_models_and_finishes_have_their_turns(desk: Desk, queue: WorkQueue) -> None:
    waiting_job(desk, queue, 100)
    waiting_job(desk, queue, 100)
    others = waiting_small(desk, queue, 3, model="strips")
    rates = waiting_job(desk, queue, 40, rates=True)
    taken = []
    for _ in range(4):
        work = queue.wait()
        assert work is not None
        taken.append((work.kind[0].card.name, len(work.small), [rows.job for rows in work.job_rows] == [rates]))
        queue.finished(work)
    assert taken == [("tiny", 0, False), ("strips", len(others), False), ("tiny", 0, True), ("tiny", 0, False)]


@in_a_loop
async def test_few_small_rows_wait_for_their_own_kind_only(desk: Desk, queue: WorkQueue) -> None:
    waiting_small(desk, queue, 3)
    first = queue.wait()
    assert first is not None
    waiting_small(desk, queue, 7)
    assert queue.take(seconds=1e9) is None
    waiting_small(desk, queue, 1, model="strips")
    other = queue.wait()
    assert other is not None
    assert other.kind[0] is desk.other
    queue.finished(other)
    queue.finished(first)
    rest = queue.wait()
    assert rest is not None
    assert len(rest.small) == 7


@in_a_loop
async def test_a_batch_for_a_short_time_leaves_a_request_that_does_not_fit(desk: Desk, queue: WorkQueue) -> None:
    desk.engine.row_seconds = 0.001
    request = SimulationRequest(some_particles(5))
    queue.add_small(SmallRequest(request, desk.engine, asyncio.get_running_loop().create_future(), None))
    assert queue.take(seconds=0.0045) is None
    assert len(queue) == 5
    work = queue.take(seconds=0.0055)
    assert work is not None
    assert len(queue) == 0


@in_a_loop
async def test_a_batch_smaller_than_a_small_request(desk: Desk, simulator: Simulator) -> None:
    desk.engine.max_batch_rows = 3
    requests = small(8)
    await check(simulator, requests, desk.ask(*requests))
    assert max(desk.engine.batches) == 3
    await desk.check_idle(8)


@in_a_loop
async def test_late_and_cancelled_requests_need_no_thread(desk: Desk, queue: WorkQueue) -> None:
    late, gone, good = waiting_small(desk, queue, 3)
    late.deadline = time.monotonic() - 1
    gone.waiting.cancel()
    late_job, gone_job = waiting_job(desk, queue, 50), waiting_job(desk, queue, 20)
    late_job.deadline = time.monotonic() - 1
    gone_job.future.cancel()
    assert len(queue) == 53
    work = queue.wait()
    assert work is not None
    assert (work.small, work.job_rows, work.late) == ([good], [], [late, late_job])
    assert len(queue) == 0


@in_a_loop
async def test_a_thread_is_free_again_after_a_batch_of_late_requests(desk: Desk) -> None:
    for _ in range(3):
        answers = await asyncio.gather(*desk.ask(*small(3), deadline=time.monotonic() - 1), return_exceptions=True)
        assert [type(answer).__name__ for answer in answers] == ["DeadlineError"] * 3
    await turn()
    await until(lambda: desk.totals.failed == {"deadline": 9})
    await desk.check_idle(9)
