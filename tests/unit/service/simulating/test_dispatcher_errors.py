"""Refusals and errors reach only the caller that caused them, and leave nothing in the queue."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.models.dispatcher_desk import BAD, QUEUE_ROWS, Desk, check, in_a_loop, small, turn
from helpers.models.tiny_model import some_particles
from zdc_common.errors import (
    InvalidInputError,
    ModelError,
    ModelNotFoundError,
    NotReadyError,
    OutOfRangeError,
    OverloadedError,
    TooLargeError,
)
from zdc_detector.particles import MASS
from zdc_service.settings import EngineSettings
from zdc_service.simulating.job import Job
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import SimulationRequest


@in_a_loop
async def test_a_bad_particle_fails_its_own_caller_only(desk: Desk, simulator: Simulator) -> None:
    good = small(6)
    waiting = desk.ask(*good[:3], BAD, *good[3:])
    with pytest.raises(OutOfRangeError, match=r"^particle\[1\]: energy: 1501 GeV .* of gamma"):
        await waiting.pop(3)
    await check(simulator, good, waiting)
    assert desk.totals.failed == {"out_of_range": 1}
    await desk.check_idle(7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "seed = -1"),
        ({"first_row": -1}, "first_row = -1 must be in"),
        ({"first_row": 2**63 - 1, "particles": some_particles(2)}, "first_row = 9223372036854775807 leaves no room"),
        ({"first_row": 2**70}, "first_row = 1180591620717411303424 must be in"),
    ],
)
@in_a_loop
async def test_a_bad_option_fails_its_own_caller_only(
    desk: Desk, simulator: Simulator, changes: dict[str, Any], message: str
) -> None:
    good = small(3)
    waiting = desk.ask(*good)
    with pytest.raises(InvalidInputError, match=message):
        desk.ask(replace(good[0], **changes))
    await check(simulator, good, waiting)
    await desk.check_idle(4)


@in_a_loop
async def test_what_no_check_foresees_fails_its_own_caller_only(desk: Desk, simulator: Simulator) -> None:
    good = small(3)
    no_number: Any = "7"
    waiting = desk.ask(*good)
    with pytest.raises(TypeError):
        desk.ask(replace(good[0], seed=no_number))
    await check(simulator, good, waiting)
    assert desk.totals.failed == {"internal": 1}
    await desk.check_idle(4)


@in_a_loop
async def test_rates_that_are_not_finite_fail_their_own_caller_only(desk: Desk, simulator: Simulator) -> None:
    good, strange = small(5), some_particles(2, sides=False)
    strange.conditions[1, MASS] = np.inf  # no range looks at it
    waiting = desk.ask(*good, SimulationRequest(strange, seed=1))
    with pytest.raises(ModelError, match="tiny version 2 gave rates that are not finite"):
        await waiting.pop()
    await check(simulator, good, waiting)
    assert desk.totals.failed == {"model": 1}
    await desk.check_idle(6)


@in_a_loop
async def test_an_unknown_model_is_refused_at_once(desk: Desk, simulator: Simulator) -> None:
    good = small(2)
    waiting = desk.ask(*good)
    for name, version, message in (("tine", None, "model 'tine' is not loaded"), ("tiny", 3, "has no version 3")):
        with pytest.raises(ModelNotFoundError, match=message):
            desk.ask(replace(good[0], model=name, version=version))
    await check(simulator, good, waiting)
    await desk.check_idle(2)


@in_a_loop
async def test_a_limit_below_what_is_small_holds_for_bundled_requests(models_folder: Path) -> None:
    settings = EngineSettings(models=models_folder, default_model="tiny", threads=1, max_request_rows=4)
    with Simulator(settings) as strict:
        waiting = [strict.ask(request) for request in small(4)]
        with pytest.raises(TooLargeError, match="5 rows are above the limit of 4"):
            strict.ask(small(5)[4])
        assert [len(answer.side) for answer in await asyncio.gather(*waiting)] == [1, 2, 3, 4]


@in_a_loop
async def test_a_full_queue_refuses_what_is_too_much_and_recovers(desk: Desk, simulator: Simulator) -> None:
    occupying = await desk.occupy()
    requests = [SimulationRequest(some_particles(8, seed), seed=seed) for seed in range(23)]
    waiting = desk.ask(*requests)  # 10 + 184 of 200 rows
    await turn()
    for _ in range(2):
        with pytest.raises(OverloadedError, match="194 rows are waiting and 8 more would pass the limit of 200"):
            desk.ask(requests[0])
    waiting += desk.ask(SimulationRequest(some_particles(6, 24), seed=24))
    assert len(desk.queue) == QUEUE_ROWS
    desk.engine.gate.set()
    await check(simulator, [*requests, SimulationRequest(some_particles(6, 24), seed=24)], waiting)
    await asyncio.gather(*occupying)
    await check(simulator, requests, desk.ask(*requests))
    assert desk.totals.failed == {"overloaded": 2}
    await desk.check_idle(6 + 24 + 2 + 23)


@in_a_loop
async def test_a_large_job_that_finds_no_room_is_refused_by_itself(desk: Desk, simulator: Simulator) -> None:
    waiting = desk.ask(*small(3))
    large = [desk.dispatcher.submit(Job(desk.plan(SimulationRequest(some_particles(100))), 0, 100)) for _ in range(2)]
    with pytest.raises(OverloadedError, match="106 rows are waiting and 100 more would pass the limit of 200"):
        await large[1]
    await check(simulator, small(3), waiting)
    await large[0]
    assert desk.totals.failed == {"overloaded": 1}
    await desk.check_idle(5)


@in_a_loop
async def test_closing_answers_what_was_accepted_and_refuses_the_rest(desk: Desk, simulator: Simulator) -> None:
    requests = small(3)
    waiting = desk.ask(*requests)
    job = desk.dispatcher.submit(Job(desk.plan(SimulationRequest(some_particles(20), seed=1)), 0, 20))
    desk.threads.close()
    with pytest.raises(NotReadyError, match="shutting down"):
        desk.ask(small(1)[0])
    with pytest.raises(NotReadyError, match="shutting down"):
        await desk.dispatcher.submit(Job(desk.plan(SimulationRequest(some_particles(20))), 0, 20))
    await check(simulator, [*requests, SimulationRequest(some_particles(20), seed=1)], [*waiting, job])
    assert desk.totals.failed == {"not_ready": 2}
    await desk.check_idle(6)


@in_a_loop
async def test_an_error_that_futures_do_not_take_reaches_its_caller(
    desk: Desk, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A StopIteration once left its caller, and those of the same turn, waiting for ever."""

    def stop(*_: object) -> None:
        raise StopIteration

    monkeypatch.setattr(desk.planner, "out_of_range", stop)
    good = small(2)
    waiting = desk.ask(BAD, *good, replace(BAD, seed=1))
    await check(simulator, good, waiting[1:3])
    for one in (waiting[0], waiting[3]):
        with pytest.raises(RuntimeError, match="StopIteration"):
            await one
    assert desk.totals.failed == {"internal": 2}
    await desk.check_idle(4)
