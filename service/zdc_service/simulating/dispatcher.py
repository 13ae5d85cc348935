"""From an event loop to the queue."""

import asyncio
import math
import time
from concurrent.futures import Future
from functools import partial

from zdc_common.errors import ZdcError

from zdc_service.engine.engine import Engine
from zdc_service.simulating.answers import Waiting, call_on, set_error
from zdc_service.simulating.bundling import SMALL_ROWS, SmallRequest, can_be_bundled
from zdc_service.simulating.compute_threads import ComputeThreads
from zdc_service.simulating.job import Job
from zdc_service.simulating.planner import Planner
from zdc_service.simulating.work_queue import WorkQueue
from zdc_service.simulation import SimulationRequest, SimulationResult

#: Maximum time [s] that the loop's own thread computes. To wake another thread and to be woken by it costs 50-200 us
#: on a virtual machine; but while the loop computes, its other callers wait.
_HELP_SECONDS = 0.002
#: For this time [s] after several requests waited, the loop expects several again.
_CROWD_SECONDS = 0.02


class Dispatcher:
    """Puts what an event loop is asked into the queue, and hands the answers to the callers on the loop.

    At the end of each turn of the loop, the requests of this turn are started together. A lone request is computed on
    the loop's own thread. If several requests wait now, or waited a moment ago, only the other threads compute, and
    the loop's time is for its callers.
    """

    def __init__(self, planner: Planner, queue: WorkQueue, threads: ComputeThreads):
        """For one event loop.

        Parameters
        ----------
        planner : Checks requests that cannot be bundled.
        queue : Gets all requests.
        threads : Compute what is in the queue.
        """
        self._planner = planner
        self._queue = queue
        self._threads = threads
        self._most_rows = min(SMALL_ROWS, planner.max_request_rows)
        self._jobs: list[tuple[Job, Waiting]] = []  # of this turn
        self._scheduled = False
        self._crowded = -math.inf  # when several requests waited last

    def submit(self, job: Job) -> Waiting:
        """The job's result, or the error of `WorkQueue.add`; cancel it to drop what has not been computed."""
        loop = asyncio.get_running_loop()
        waiting: Waiting = loop.create_future()
        job.future.add_done_callback(partial(call_on, loop, _copy, waiting))
        waiting.add_done_callback(partial(_drop, job.future))
        if not job.future.done():  # it has rows
            try:
                self._queue.add(job)
            except ZdcError as error:
                job.fail(error)
            else:
                self._jobs.append((job, waiting))
                self._flush_soon(loop)
        return waiting

    def ask(self, request: SimulationRequest, engine: Engine, deadline: float | None = None) -> Waiting:
        """The result of a request; `engine` is its model.

        Raises
        ------
        InvalidInputError : as `Planner.placed`.
        OverloadedError, NotReadyError : as `WorkQueue.add`, if the request can be bundled. Its future raises all other
            errors.
        ZdcError : as `Planner.plan`, if it cannot be bundled. Its future raises what `submit` says.
        """
        request = self._planner.placed(request, engine)
        if not can_be_bundled(request, min(self._most_rows, engine.max_batch_rows)):
            plan = self._planner.plan(request, engine)
            return self.submit(Job(plan, 0, plan.rows, deadline))
        loop = asyncio.get_running_loop()
        small = SmallRequest(request, engine, loop.create_future(), deadline)
        try:
            self._queue.add_small(small)
        except ZdcError as error:
            small.count_failed(error.kind)
            raise
        small.waiting.add_done_callback(partial(self._ended, small))
        self._flush_soon(loop)
        return small.waiting

    def _ended(self, small: SmallRequest, waiting: Waiting) -> None:
        if waiting.cancelled():
            self._queue.remove(small)
            small.count_failed("cancelled")

    def _flush_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Start what was asked in this turn."""
        self._scheduled = False
        jobs, self._jobs = self._jobs, []
        for job, waiting in jobs:
            if waiting.cancelled():  # in this turn, and nobody has told the job yet
                job.future.cancel()
        now = time.monotonic()
        if self._queue.several():
            self._crowded = now
        if now - self._crowded > _CROWD_SECONDS:
            self._threads.help(_HELP_SECONDS)
        else:
            self._queue.wake()


def _copy(waiting: Waiting, future: "Future[SimulationResult]") -> None:
    """Hand the end of a job to the caller on the loop."""
    if waiting.done():
        return
    if future.cancelled():
        waiting.cancel()
    elif (error := future.exception()) is not None:
        set_error(waiting, error)
    else:
        waiting.set_result(future.result())


def _drop(future: "Future[SimulationResult]", waiting: Waiting) -> None:
    if waiting.cancelled():
        future.cancel()
