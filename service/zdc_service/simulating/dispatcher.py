"""From an event loop to the batcher and back."""

import asyncio
import math
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

from zdc_common.errors import DeadlineError, ZdcError

from zdc_service.engine.engine import Engine
from zdc_service.simulating.batcher import LATE, WORTH_SHARING, Batcher
from zdc_service.simulating.job import Job, Plan
from zdc_service.simulating.merging import REFUSALS, SMALL_ROWS, merge, merging_key
from zdc_service.simulating.planner import Planner
from zdc_service.simulation import SimulationRequest, SimulationResult

Waiting = asyncio.Future[SimulationResult]

#: Longest time that the loop's own thread computes. To wake another thread and to be woken by it costs 50-200 us on a
#: virtual machine; a loop that stands still for longer than this lets its other callers wait.
_HELP_SECONDS = 0.002
#: Callers who have been several lately are several still, also where the loop hears of one at a time.
_CROWD_SECONDS = 0.02


class _Caller(NamedTuple):
    """Somebody who waits for a small request."""

    request: SimulationRequest
    engine: Engine
    waiting: Waiting
    deadline: float | None
    arrived: float


class Dispatcher:
    """Hands what arrives in one turn of an event loop to the batcher together.

    Small requests are merged. A lone one is computed on the loop's own thread; where several callers wait, or did a
    moment ago, the loop's time goes to them, and the workers compute: while one is busy, small requests collect.
    """

    def __init__(self, batcher: Batcher, planner: Planner):
        """`planner` checks requests; `batcher` computes them."""
        self._batcher = batcher
        self._planner = planner
        self._most_rows = min(SMALL_ROWS, planner.max_request_rows)
        self._jobs: list[tuple[Job, Waiting]] = []
        self._small: dict[Hashable, list[_Caller]] = {}
        self._small_rows = 0
        self._waiting = 0  # callers
        self._under_way: dict[int, Job] = {}  # of small requests, by their ids
        self._scheduled = False
        self._crowded = -math.inf  # when several last waited

    def submit(self, job: Job) -> Waiting:
        """The job's result, or the error of `Batcher.submit`; cancelling it drops what has not been computed."""
        waiting = self._new_waiting()
        self._jobs.append((job, waiting))
        return waiting

    def ask(self, request: SimulationRequest, engine: Engine, deadline: float | None = None) -> Waiting:
        """The result of a request, or the error of planning it; `engine` is its model.

        Raises
        ------
        OverloadedError, NotReadyError : as `Batcher.submit`.
        ZdcError : what planning raises, for a request that is not small.
        """
        rows = len(request.particles)
        key = merging_key(request, engine) if rows <= self._most_rows else None
        if key is None:
            plan = self._planner.plan(request, engine)
            return self.submit(Job(plan, 0, plan.rows, deadline))
        try:
            self._batcher.reserve(rows)
        except ZdcError as error:
            engine.statistics.failed(error.kind, 0.0)
            raise
        engine.statistics.queued()
        waiting = self._new_waiting()
        self._small_rows += rows
        self._small.setdefault(key, []).append(_Caller(request, engine, waiting, deadline, time.monotonic()))
        return waiting

    def _new_waiting(self) -> Waiting:
        loop = asyncio.get_running_loop()
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._flush)
        waiting: Waiting = loop.create_future()
        waiting.add_done_callback(self._settled)
        self._waiting += 1
        return waiting

    def _settled(self, _: object) -> None:
        self._waiting -= 1

    def _flush(self) -> None:
        self._scheduled = False
        now = time.monotonic()
        if self._waiting > 1:
            self._crowded = now
        alone = now - self._crowded > _CROWD_SECONDS
        jobs, self._jobs = self._jobs, []
        for job, waiting in jobs:
            if waiting.cancelled():
                job.plan.tally.failed("cancelled")
            else:
                _chain(job, [waiting], lambda result: [result])
                self._send(job, alone)
        if self._small_worth_sending():
            small, self._small, self._small_rows = self._small, {}, 0
            for callers in small.values():
                self._send_small(callers, alone)
        if alone:
            self._batcher.help(_HELP_SECONDS)

    def _small_worth_sending(self) -> bool:
        """Whether small requests shall not wait for those that are under way.

        Beside a batch that is computed another one has to be worth its fixed cost, which is that of many rows. One that
        still waits for a thread, behind larger jobs, they may join. There is one job more than threads, so that a
        worker finds the next one when it comes back.
        """
        if not self._under_way:
            return True
        if len(self._under_way) > self._batcher.threads:
            return False
        return self._small_rows >= WORTH_SHARING or not all(job.begun for job in self._under_way.values())

    def _send_small(self, callers: list[_Caller], alone: bool) -> None:
        """Send callers of one key, as many together as leaves work for every thread."""
        self._batcher.release(sum(len(caller.request.particles) for caller in callers))
        callers[0].engine.statistics.queued(-len(callers))
        left = _still_waiting(callers)
        size = self._batcher.share(len(left))
        for start in range(0, len(left), size):
            some = left[start : start + size]
            if len(some) == 1:
                self._send_apart(some, alone)
            else:
                self._send_together(some, alone)

    def _send_together(self, callers: list[_Caller], alone: bool) -> None:
        try:
            merged = merge([caller.request for caller in callers], callers[0].engine)
        except Exception:  # of one of them
            self._send_apart(callers, alone)
            return
        deadlines = [caller.deadline for caller in callers if caller.deadline is not None]
        deadline = max(deadlines) if len(deadlines) == len(callers) else None
        self._send_for(callers, merged.plan, deadline, merged.parts, alone)

    def _send_apart(self, callers: Sequence[_Caller], alone: bool) -> None:
        for caller in callers:
            try:
                plan = self._planner.plan(caller.request, caller.engine)
            except Exception as error:
                _fail([caller.waiting], error)
            else:
                self._send_for([caller], plan, caller.deadline, lambda result: [result], alone)

    def _send_for(
        self,
        callers: list[_Caller],
        plan: Plan,
        deadline: float | None,
        parts: Callable[[SimulationResult], Sequence[SimulationResult]],
        alone: bool,
    ) -> None:
        def ended(again: bool) -> None:
            del self._under_way[key]  # with the job itself, its future would hold it, and its results
            if again:
                self._send_apart(_still_waiting(callers), alone=False)
            if self._small and not self._scheduled:
                self._scheduled = True
                asyncio.get_running_loop().call_soon(self._flush)

        job = Job(plan, 0, plan.rows, deadline)
        key = id(job)
        # They have waited since they arrived, on average.
        job.submitted = plan.tally.began = sum(caller.arrived for caller in callers) / len(callers)
        self._under_way[key] = job
        deadlines = [caller.deadline for caller in callers] if len(callers) > 1 else []
        _chain(job, [caller.waiting for caller in callers], parts, deadlines, ended)
        self._send(job, alone)

    def _send(self, job: Job, alone: bool) -> None:
        if job.future.done():  # nothing to compute
            return
        try:
            self._batcher.submit(job, wake=not alone)
        except ZdcError as error:
            job.fail(error)


def _chain(
    job: Job,
    waiting: Sequence[Waiting],
    parts: Callable[[SimulationResult], Sequence[SimulationResult]],
    deadlines: Sequence[float | None] = (),
    ended: Callable[[bool], None] | None = None,
) -> None:
    """Settle those who wait when the job is, on the loop's thread; cancel the job when all of them have been.

    Parameters
    ----------
    job : Not submitted yet.
    waiting : Those who wait.
    parts : Cuts the job's result into theirs.
    deadlines : Of each, where they differ from the job's.
    ended : Called on the loop's thread at the end. Gets True where the job has an error that may be of one of several
        who wait: nobody has been told, and each is to be computed alone.
    """
    loop, thread = waiting[0].get_loop(), threading.get_ident()

    def settle(future: "Future[SimulationResult]") -> None:
        error = None if future.cancelled() else future.exception()
        again = error is not None and len(waiting) > 1 and not isinstance(error, REFUSALS)
        if future.cancelled():
            for each in waiting:
                each.cancel()
        elif error is None:
            now = time.monotonic()
            for place, (each, result) in enumerate(zip(waiting, parts(future.result()), strict=True)):
                deadline = deadlines[place] if deadlines else None
                if deadline is not None and now > deadline:
                    _fail([each], DeadlineError(LATE))
                elif not each.done():
                    each.set_result(result)
        elif not again:
            _fail(waiting, error)
        if ended is not None:
            ended(again)

    def on_done(future: "Future[SimulationResult]") -> None:
        if threading.get_ident() == thread:
            settle(future)
        elif not loop.is_closed():
            loop.call_soon_threadsafe(settle, future)

    def on_cancelled(cancelled: Waiting) -> None:
        if cancelled.cancelled() and all(each.cancelled() for each in waiting):
            job.future.cancel()

    for each in waiting:
        each.add_done_callback(on_cancelled)
    job.future.add_done_callback(on_done)


def _still_waiting(callers: Sequence[_Caller]) -> list[_Caller]:
    """Those that are neither gone nor late; counts the others, and tells the late ones."""
    now = time.monotonic()
    left = []
    for caller in callers:
        if caller.waiting.done():
            caller.engine.statistics.failed("cancelled", now - caller.arrived)
        elif caller.deadline is not None and now > caller.deadline:
            caller.engine.statistics.failed(DeadlineError.kind, now - caller.arrived)
            caller.waiting.set_exception(DeadlineError(LATE))
        else:
            left.append(caller)
    return left


def _fail(waiting: Sequence[Waiting], error: BaseException) -> None:
    if isinstance(error, StopIteration):  # a future of asyncio does not take it: they would wait for ever
        error = RuntimeError(repr(error)).with_traceback(error.__traceback__)
    for each in waiting:
        if not each.done():
            each.set_exception(error)
