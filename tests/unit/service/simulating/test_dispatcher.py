"""The dispatcher: requests that arrive together are computed together, and each caller gets its own answer."""

import asyncio
import gc
import threading
import time
import weakref
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from helpers.files.same_results import assert_same
from helpers.models.dispatcher_desk import BAD, Desk, check, in_a_loop, rows, small, turn
from helpers.models.tiny_model import some_particles
from helpers.waiting import until
from zdc_common.errors import DeadlineError, OutOfRangeError, OverloadedError
from zdc_service.simulating.planner import Planner
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import OutOfRange, Output, SimulationRequest


@in_a_loop
async def test_what_arrives_in_one_turn_is_one_batch(desk: Desk, simulator: Simulator) -> None:
    requests = small(12, first_row=3) + [replace(small(1)[0], seed=None)] * 2
    await check(simulator, requests, desk.ask(*requests))
    assert desk.engine.batches == [rows(*requests)]
    assert desk.totals.succeeded == len(requests)
    assert desk.totals.rows == rows(*requests)
    await desk.check_idle(len(requests))


@in_a_loop
async def test_requests_of_different_kinds_in_one_turn(desk: Desk, simulator: Simulator) -> None:
    kinds: list[dict[str, Any]] = [
        {},
        {"model": "strips"},
        {"output": Output.HITS},
        {"output": Output.CHANNELS, "rates": True},
        {"version": 1},
        {"repeats": 3},
        {"out_of_range": OutOfRange.SKIP},
    ]
    requests = [request for kind in kinds for request in small(3, seed=len(kind), **kind)]
    requests.append(SimulationRequest(some_particles(90), seed=3))
    await check(simulator, requests, desk.ask(*requests))
    assert desk.other.batches == [rows(*small(3))]


@in_a_loop
async def test_a_model_by_its_name_and_by_default_is_one_model(desk: Desk) -> None:
    await asyncio.gather(*desk.ask(*small(2), *small(2, model="tiny"), *small(2, version=2)))
    assert len(desk.engine.batches) == 1


@in_a_loop
async def test_many_callers_are_shared_among_the_threads(planner: Planner, simulator: Simulator) -> None:
    desk = Desk(planner, threads=2)
    requests = [SimulationRequest(some_particles(1, seed), seed=seed) for seed in range(40)]
    desk.engine.gate.clear()
    waiting = desk.ask(*requests)
    await until(lambda: len(desk.engine.batches) == 2)
    assert len(set(desk.engine.threads)) == 2
    desk.engine.gate.set()
    await check(simulator, requests, waiting)
    assert sum(desk.engine.batches) == 40
    await desk.check_idle(40)


@in_a_loop
async def test_a_lone_request_is_computed_on_the_loops_thread(desk: Desk, simulator: Simulator) -> None:
    desk.engine.row_seconds = 1e-6
    for request in small(3):
        await check(simulator, [request], desk.ask(request))
    assert set(desk.engine.threads) == {threading.get_ident()}
    await asyncio.gather(*desk.ask(*small(2)))
    assert desk.engine.threads[3:] != [threading.get_ident()]
    await desk.check_idle(5)


@in_a_loop
async def test_right_after_a_crowd_a_lone_request_is_left_to_the_threads(desk: Desk) -> None:
    """If many callers arrive one at a time, the loop must not compute for each while the others wait."""
    desk.engine.row_seconds = 1e-6
    await asyncio.gather(*desk.ask(*small(2)))
    await asyncio.gather(*desk.ask(small(1)[0]))
    assert threading.get_ident() not in desk.engine.threads
    await asyncio.sleep(0.05)
    await asyncio.gather(*desk.ask(small(1)[0]))
    assert desk.engine.threads[-1] == threading.get_ident()
    await desk.check_idle(4)


@in_a_loop
async def test_a_lone_request_that_would_take_long_is_left_to_a_thread(desk: Desk) -> None:
    desk.engine.row_seconds = 1.0
    await asyncio.gather(*desk.ask(small(1)[0]))
    assert desk.engine.threads != [threading.get_ident()]


@in_a_loop
async def test_the_loop_computes_its_part_of_a_lone_large_request(desk: Desk, simulator: Simulator) -> None:
    desk.engine.row_seconds = 0.002 / 10.5
    request = SimulationRequest(some_particles(90), seed=4)
    await check(simulator, [request], desk.ask(request))
    batches = dict(zip(desk.engine.threads, desk.engine.batches, strict=False))
    assert batches[threading.get_ident()] == 10


@in_a_loop
async def test_while_the_worker_is_busy_requests_collect_and_leave_as_one(desk: Desk, simulator: Simulator) -> None:
    occupying = await desk.occupy()
    requests, collected = [*small(3), *small(3, seed=3), *small(3, seed=6)], []
    for start in range(0, 9, 3):
        collected += desk.ask(*requests[start : start + 3])
        await turn()
    assert len(desk.queue) == rows(*small(4, seed=902), *requests)
    assert desk.totals.pending == 4 + 9
    await asyncio.sleep(0.05)
    desk.engine.gate.set()
    await check(simulator, small(2, seed=900) + small(4, seed=902), occupying)
    await check(simulator, requests, collected)
    assert desk.engine.batches == [3, 28]
    assert min(each.result().timing.queue for each in collected) >= 0.05  # from their arrival on
    totals = desk.totals
    assert totals.seconds >= totals.timing.queue >= 9 * 0.05
    await desk.check_idle(15)


@in_a_loop
async def test_few_rows_wait_for_the_batch_under_way_and_many_do_not(planner: Planner, simulator: Simulator) -> None:
    desk = Desk(planner, threads=2)
    desk.engine.gate.clear()
    first = desk.ask(*small(2, seed=900))
    await until(lambda: bool(desk.engine.batches))
    requests = small(4)
    waiting = desk.ask(*requests[:3])  # 6 rows
    await asyncio.sleep(0.05)
    assert desk.engine.batches == [3]
    waiting += desk.ask(requests[3])  # 10 rows
    await until(lambda: len(desk.engine.batches) == 2)
    desk.engine.gate.set()
    await check(simulator, requests, waiting)
    await check(simulator, small(2, seed=900), first)
    assert desk.engine.batches == [3, 10]
    await desk.check_idle(6)


@in_a_loop
async def test_few_rows_join_those_that_wait_for_a_thread(desk: Desk, simulator: Simulator) -> None:
    """Otherwise, they would wait for two batches of the large job."""
    desk.engine.row_seconds = 1.0  # so slow that the loop leaves it to the thread
    desk.engine.gate.clear()
    large = SimulationRequest(some_particles(90), seed=4)
    occupying = desk.ask(large)
    await until(lambda: bool(desk.engine.batches))
    requests = [*small(2), *small(1, seed=5)]
    waiting = desk.ask(*requests[:2])
    await turn()
    waiting += desk.ask(requests[2])
    await turn()
    batches = len(desk.engine.batches)
    desk.engine.gate.set()
    await check(simulator, requests, waiting)
    answered = len(desk.engine.batches)
    await check(simulator, [large], occupying)
    assert answered == batches + 1  # one batch for all three
    await desk.check_idle(4)


def all_gone(references: list[weakref.ref[Any]]) -> bool:
    return all(reference() is None for reference in references)


@in_a_loop
async def test_results_go_with_their_callers(desk: Desk) -> None:
    """Without the garbage collector, which runs late and does not know how large they are."""
    large = SimulationRequest(some_particles(90))
    gc.collect()
    gc.disable()
    try:
        for requests in ([large], small(1), small(3), [large, *small(3), small(1, repeats=2)[0]]):
            results = await asyncio.gather(*desk.ask(*requests))
            left = [weakref.ref(each) for result in results for each in (result, result.channels)]
            del results
            await until(partial(all_gone, left))
    finally:
        gc.enable()


@in_a_loop
async def test_random_callers(planner: Planner, simulator: Simulator) -> None:
    """Requests of all kinds, errors and cancellations at once: each caller gets its own answer, and is counted once."""
    desk, rng, asked = Desk(planner, threads=2), np.random.default_rng(5), 0

    async def caller(number: int) -> tuple[str, bool]:
        request = small(1, seed=number, output=Output(rng.choice(list(Output))))[0]
        if rng.random() < 0.2:
            request = replace(request, particles=some_particles(int(rng.integers(1, 60)), number), first_row=number)
        if rng.random() < 0.05:
            request = BAD
        seconds = rng.choice([0.0005, 0.01, 10.0])
        await asyncio.sleep(rng.random() * 0.05)
        try:
            waiting = desk.ask(request, deadline=time.monotonic() + seconds)[0]
            if rng.random() < 0.2:
                asyncio.get_running_loop().call_later(rng.random() * 0.01, waiting.cancel)
            answer = await waiting
        except asyncio.CancelledError:
            return "cancelled", request is BAD
        except (OutOfRangeError, OverloadedError, DeadlineError) as error:
            return error.kind, request is BAD
        assert_same(answer, simulator.simulate(request))
        return "ok", request is BAD

    for _ in range(5):
        ended = await asyncio.gather(*(caller(asked + number) for number in range(100)))
        asked += 100
        assert ("ok", False) in ended
        assert not {("ok", True), ("out_of_range", False)} & set(ended)
    await desk.check_idle(asked)
