"""Cancelled and late requests cost no computation and do not disturb others."""

import asyncio
import time

import numpy as np
import pytest
from helpers.models.dispatcher_desk import Desk, check, in_a_loop, rows, small, turn
from helpers.models.tiny_model import some_particles
from helpers.waiting import PATIENCE, until
from zdc_common.errors import DeadlineError, ModelError
from zdc_detector.particles import MASS
from zdc_service.simulating.job import Job
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import SimulationRequest


@in_a_loop
async def test_who_is_late_is_told_and_the_others_of_the_batch_are_answered(desk: Desk, simulator: Simulator) -> None:
    past, soon, later = time.monotonic() - 1, time.monotonic() + 0.02, time.monotonic() + PATIENCE
    requests = small(5)
    occupying = await desk.occupy()
    waiting = [
        desk.ask(request, deadline=deadline)[0]
        for request, deadline in zip(requests, (past, later, soon, None, soon), strict=True)
    ]
    await asyncio.sleep(0.05)
    desk.engine.gate.set()
    for place in (0, 2, 4):
        with pytest.raises(DeadlineError, match="deadline passed"):
            await waiting[place]
    await check(simulator, [requests[1], requests[3]], [waiting[1], waiting[3]])
    await asyncio.gather(*occupying)
    assert sum(desk.engine.batches) == 13 + rows(requests[1], requests[3])  # the late ones cost nothing
    assert desk.totals.failed == {"deadline": 3}
    await desk.check_idle(11)


@in_a_loop
async def test_who_gets_late_in_the_batch_is_told_and_the_others_are_answered(desk: Desk, simulator: Simulator) -> None:
    requests = small(3)
    desk.engine.gate.clear()
    soon = time.monotonic() + 0.05
    waiting = [
        desk.ask(request, deadline=deadline)[0] for request, deadline in zip(requests, (soon, None, soon), strict=True)
    ]
    await until(lambda: bool(desk.engine.batches))
    await until(lambda: time.monotonic() > soon)
    desk.engine.gate.set()
    await check(simulator, [requests[1]], [waiting[1]])
    for place in (0, 2):
        assert isinstance(waiting[place].exception(), DeadlineError)
    await desk.check_idle(3)


@in_a_loop
async def test_a_batch_of_late_callers_is_not_computed(desk: Desk) -> None:
    desk.engine.gate.clear()
    occupying = desk.ask(*small(2, seed=900))
    await until(lambda: bool(desk.engine.batches))
    soon = time.monotonic() + 0.02
    late = desk.ask(*small(4), deadline=soon)  # waits for the thread
    await turn()
    late += desk.ask(*small(2), deadline=soon)  # collects
    await asyncio.sleep(0.05)
    desk.engine.gate.set()
    for error in await asyncio.gather(*late, return_exceptions=True):
        assert isinstance(error, DeadlineError)
    await asyncio.gather(*occupying)
    assert desk.engine.batches == [3]
    await desk.check_idle(8)


@pytest.mark.parametrize("gone", [[1], [0, 1, 2]])
@in_a_loop
async def test_cancelled_before_it_leaves(desk: Desk, simulator: Simulator, gone: list[int]) -> None:
    requests = small(3)
    waiting = desk.ask(*requests)
    for place in gone:
        waiting[place].cancel()
    left = [place for place in range(3) if place not in gone]
    await check(simulator, [requests[place] for place in left], [waiting[place] for place in left])
    await turn()
    assert sum(desk.engine.batches) == rows(*(requests[place] for place in left))
    assert desk.totals.failed == {"cancelled": len(gone)}
    await desk.check_idle(3)


@pytest.mark.parametrize("gone", [[1], [0, 1, 2, 3]])
@in_a_loop
async def test_cancelled_while_it_waits_for_the_thread(desk: Desk, simulator: Simulator, gone: list[int]) -> None:
    desk.engine.gate.clear()
    first, requests = desk.ask(*small(2, seed=900)), small(4)
    await until(lambda: bool(desk.engine.batches))
    waiting = desk.ask(*requests)
    await turn()
    for place in gone:
        waiting[place].cancel()
    await turn()
    await turn()
    left = [place for place in range(4) if place not in gone]
    assert len(desk.queue) == rows(*(requests[place] for place in left))
    desk.engine.gate.set()
    await check(simulator, [requests[place] for place in left], [waiting[place] for place in left])
    await asyncio.gather(*first)
    assert sum(desk.engine.batches) == 3 + rows(*(requests[place] for place in left))
    assert all(waiting[place].cancelled() for place in gone)
    await desk.check_idle(6)


@pytest.mark.parametrize("gone", [[1], [0, 1, 2]])
@in_a_loop
async def test_cancelled_while_it_is_computed(desk: Desk, simulator: Simulator, gone: list[int]) -> None:
    requests = small(3)
    desk.engine.gate.clear()
    waiting = desk.ask(*requests)
    await until(lambda: bool(desk.engine.batches))
    for place in gone:
        waiting[place].cancel()
    await turn()
    desk.engine.gate.set()
    left = [place for place in range(3) if place not in gone]
    await check(simulator, [requests[place] for place in left], [waiting[place] for place in left])
    await desk.check_idle(3)


@in_a_loop
async def test_cancelled_among_those_that_are_computed_again(desk: Desk, simulator: Simulator) -> None:
    strange = some_particles(2, sides=False)
    strange.conditions[1, MASS] = np.inf
    requests = small(3)
    desk.engine.gate.clear()
    waiting = desk.ask(*requests, SimulationRequest(strange, seed=1))
    await until(lambda: bool(desk.engine.batches))
    waiting[0].cancel()
    desk.engine.gate.set()
    await check(simulator, requests[1:], waiting[1:3])
    assert isinstance((await asyncio.gather(waiting[3], return_exceptions=True))[0], ModelError)
    await until(lambda: desk.totals.failed.total() == 2)
    assert desk.totals.failed == {"model": 1, "cancelled": 1}
    await desk.check_idle(4)


@in_a_loop
async def test_a_job_that_is_cancelled_in_its_turn_costs_nothing(desk: Desk) -> None:
    jobs = [Job(desk.plan(SimulationRequest(some_particles(20))), 0, 20) for _ in range(2)]
    waiting = [desk.dispatcher.submit(job) for job in jobs]
    waiting[0].cancel()
    await waiting[1]
    assert desk.engine.batches == [20]
    assert desk.totals.failed == {"cancelled": 1}
    await desk.check_idle(2)
