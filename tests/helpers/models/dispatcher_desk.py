"""A dispatcher on a real event loop, with a queue, threads and engines that a test can hold up."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from helpers.files.same_results import assert_same
from helpers.models.gated_engine import GatedEngine
from helpers.models.tiny_model import some_particles
from helpers.waiting import PATIENCE, until
from zdc_detector.particles import Particles
from zdc_service.engine.engine import Engine
from zdc_service.simulating.answers import Waiting
from zdc_service.simulating.compute_threads import ComputeThreads
from zdc_service.simulating.dispatcher import Dispatcher
from zdc_service.simulating.plan import Plan
from zdc_service.simulating.planner import Planner
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulating.work_queue import WorkQueue
from zdc_service.simulation import SimulationRequest
from zdc_service.telemetry.instruments import Instruments
from zdc_service.telemetry.statistics import Totals

QUEUE_ROWS, REQUEST_ROWS = 200, 100

#: One particle that the tiny models take, and one above their energies.
BAD = SimulationRequest(
    Particles.from_columns({"pdg": [22, 22], "px": [0.0] * 2, "py": [0.0] * 2, "pz": [100.0, 1501.0]})
)


class Desk:
    """A dispatcher with all that is below it.

    Attributes
    ----------
    dispatcher, queue, threads : With room for `QUEUE_ROWS`.
    planner : Finds models and checks requests.
    engine : The default model, ``tiny`` version 2.
    other : The model ``strips``.
    """

    def __init__(self, planner: Planner, threads: int = 1):
        """`planner` has engines with gates, and requests of at most `REQUEST_ROWS`."""
        self.engine, self.other = (
            _gated(planner.engine_of(SimulationRequest(some_particles(1), model=name))) for name in ("tiny", "strips")
        )
        self.engine.fresh()
        self.other.fresh()
        self.planner = planner
        self.queue = WorkQueue(threads, QUEUE_ROWS)
        self.threads = ComputeThreads(self.queue, planner, threads, Instruments())
        self.dispatcher = Dispatcher(planner, self.queue, self.threads)

    def ask(self, *requests: SimulationRequest, deadline: float | None = None) -> list[Waiting]:
        """Ask for several in one turn."""
        return [self.dispatcher.ask(request, self.planner.engine_of(request), deadline) for request in requests]

    def plan(self, request: SimulationRequest) -> Plan:
        """The plan of a request."""
        return self.planner.plan(request, self.planner.engine_of(request))

    async def occupy(self) -> list[Waiting]:
        """Close the gate; then one batch of small requests is computed, and other requests wait for the only thread."""
        self.engine.gate.clear()
        waiting = self.ask(*small(2, seed=900))
        await until(lambda: bool(self.engine.batches))
        waiting += self.ask(*small(4, seed=902))
        await turn()
        return waiting

    @property
    def totals(self) -> Totals:
        """What the default model has done."""
        return self.engine.statistics.totals(self.queue.waiting(self.engine))

    async def check_idle(self, requests: int) -> None:
        """Nothing waits or is computed, and all requests of the default model have been counted once."""
        await until(lambda: self.totals.succeeded + self.totals.failed.total() >= requests)
        self.threads.close()
        assert self.totals.succeeded + self.totals.failed.total() == requests
        assert (len(self.queue), self.totals.pending) == (0, 0)
        assert (self.queue._lines, self.queue._computing, self.queue._computing_small) == ({}, 0, {})


def _gated(engine: Engine) -> GatedEngine:
    assert isinstance(engine, GatedEngine)
    return engine


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a coroutine as a test, on a loop of its own; whatever the loop reports as an error fails the test."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        complaints: list[dict[str, Any]] = []

        async def main() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
            await asyncio.wait_for(test(*args, **kwargs), PATIENCE)

        asyncio.run(main())
        assert not complaints

    return run


async def turn() -> None:
    """Wait for one turn of the loop."""
    await asyncio.sleep(0)


def small(count: int, seed: int = 0, **fields: Any) -> list[SimulationRequest]:
    """Requests of 1, 2, ... 8, 1, ... particles for both sides, each with a seed of its own from `seed` on."""
    return [
        SimulationRequest(some_particles(1 + place % 8, seed + place), seed=seed + place, **fields)
        for place in range(count)
    ]


def rows(*requests: SimulationRequest) -> int:
    """Number of rows of all requests."""
    return sum(len(request.particles) for request in requests)


async def check(simulator: Simulator, requests: list[SimulationRequest], waiting: list[Waiting]) -> None:
    """Every caller gets the rows that another simulator computes for it alone."""
    for request, answer in zip(requests, await asyncio.gather(*waiting), strict=True):
        assert request.seed in (None, answer.seed)
        assert_same(answer, simulator.simulate(replace(request, seed=answer.seed)))
