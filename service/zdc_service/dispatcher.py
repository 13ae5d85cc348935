"""From an event loop to the batcher and back."""

import asyncio
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from zdc_detector.errors import DeadlineError, ZdcError

from zdc_service.batcher import LATE, Batcher
from zdc_service.job import Job, Plan
from zdc_service.merging import Merged, merging_key
from zdc_service.simulation import SimulationRequest, SimulationResult

Waiting = asyncio.Future[SimulationResult]

#: Longest time that the loop's own thread computes. To wake another thread and to be woken by it costs 50-200 us on a
#: virtual machine; a loop that stands still for longer than this lets its other callers wait.
_HELP_SECONDS = 0.002


@dataclass(frozen=True)
class _Caller:
    """Somebody who waits for a small request."""

    request: SimulationRequest
    waiting: Waiting
    deadline: float | None


class Dispatcher:
    """Hands what arrives in one turn of an event loop to the batcher together.

    Small requests are merged. A lone one is computed on the loop's own thread; where several callers wait, the loop's
    time goes to them, and the workers compute: while those are busy, small requests collect.
    """

    def __init__(
        self,
        batcher: Batcher,
        plan: Callable[[SimulationRequest], Plan],
        merge: Callable[[Sequence[SimulationRequest]], Merged],
    ):
        """`plan` and `merge` check one request, or several of one `merging_key`."""
        self._batcher = batcher
        self._plan = plan
        self._merge = merge
        self._jobs: list[tuple[Job, Waiting]] = []
        self._small: dict[Hashable, list[_Caller]] = {}
        self._waiting = 0  # callers
        self._under_way = 0  # jobs of small requests
        self._scheduled = False

    def submit(self, job: Job) -> Waiting:
        """The job's result, or the error of `Batcher.submit`; cancelling it drops what has not been computed."""
        waiting = self._new_waiting()
        self._jobs.append((job, waiting))
        return waiting

    def ask(self, request: SimulationRequest, deadline: float | None = None) -> Waiting:
        """The result of a request, or the error of planning it.

        Raises
        ------
        OverloadedError, NotReadyError : as `Batcher.submit`.
        ZdcError : what planning raises, for a request that is not small.
        """
        key = merging_key(request)
        if key is None:
            plan = self._plan(request)
            return self.submit(Job(plan, 0, plan.rows, deadline))
        self._batcher.reserve(len(request.particles))
        waiting = self._new_waiting()
        self._small.setdefault(key, []).append(_Caller(request, waiting, deadline))
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
        alone = self._waiting == 1
        jobs, self._jobs = self._jobs, []
        for job, waiting in jobs:
            if waiting.cancelled():
                job.plan.tally.failed("cancelled")
            else:
                _chain(job, [waiting], lambda result: [result])
                self._send(job, alone)
        # One more than compute, so that a worker finds the next batch when it comes back.
        if self._under_way <= self._batcher.threads:
            small, self._small = self._small, {}
            for callers in small.values():
                self._send_small(callers, alone)
        if alone:
            self._batcher.help(_HELP_SECONDS)

    def _send_small(self, callers: list[_Caller], alone: bool) -> None:
        self._batcher.release(sum(len(caller.request.particles) for caller in callers))
        now = time.monotonic()
        left = []
        for caller in callers:
            if caller.deadline is not None and now > caller.deadline and not caller.waiting.done():
                caller.waiting.set_exception(DeadlineError(LATE))
            elif not caller.waiting.done():
                left.append(caller)
        size = self._batcher.share(len(left))
        for start in range(0, len(left), size):
            some = left[start : start + size]
            if len(some) == 1:
                self._send_apart(some, alone)
                continue
            try:
                merged = self._merge([caller.request for caller in some])
            except ZdcError:  # of one of them
                self._send_apart(some, alone)
                continue
            deadlines = [caller.deadline for caller in some if caller.deadline is not None]
            job = Job(merged.plan, 0, merged.plan.rows, max(deadlines) if len(deadlines) == len(some) else None)
            self._under_way += 1
            waiting, late = [caller.waiting for caller in some], [caller.deadline for caller in some]
            _chain(job, waiting, merged.parts, late, self._one_less_under_way)
            self._send(job, alone)

    def _one_less_under_way(self) -> None:
        self._under_way -= 1
        if self._small and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _send_apart(self, callers: list[_Caller], alone: bool) -> None:
        for caller in callers:
            try:
                plan = self._plan(caller.request)
            except ZdcError as error:
                caller.waiting.set_exception(error)
                continue
            job = Job(plan, 0, plan.rows, caller.deadline)
            self._under_way += 1
            _chain(job, [caller.waiting], lambda result: [result], after=self._one_less_under_way)
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
    after: Callable[[], None] | None = None,
) -> None:
    """Settle those who wait when the job is, on the loop's thread; cancel the job when all of them have been.

    Parameters
    ----------
    job : Not submitted yet.
    waiting : Those who wait.
    parts : Cuts the job's result into theirs.
    deadlines : Of each, where they differ from the job's.
    after : Called on the loop's thread at the end.
    """
    loop, thread = waiting[0].get_loop(), threading.get_ident()

    def settle(future: "Future[SimulationResult]") -> None:
        error = None if future.cancelled() else future.exception()
        results = [] if future.cancelled() or error is not None else parts(future.result())
        now = time.monotonic()
        for place, each in enumerate(waiting):
            if each.done():
                continue
            if future.cancelled():
                each.cancel()
            elif error is not None:
                each.set_exception(error)
            elif deadlines and (deadline := deadlines[place]) is not None and now > deadline:
                each.set_exception(DeadlineError(LATE))
            else:
                each.set_result(results[place])
        if after is not None:
            after()

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
