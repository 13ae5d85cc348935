"""From an event loop to the batcher and back."""

import asyncio
import threading
from concurrent.futures import Future

from zdc_detector.errors import ZdcError

from zdc_service.batcher import Batcher
from zdc_service.job import Job
from zdc_service.simulation import SimulationResult

#: Longest time that the loop's own thread computes. To wake another thread and to be woken by it costs 50-200 us on a
#: virtual machine; a loop that stands still for longer than this lets its other callers wait.
_HELP_SECONDS = 0.002


class Dispatcher:
    """Submits what arrives in one turn of an event loop together; computes a lone short job on the loop's own thread.

    Where several callers wait, the loop's time goes to them, and the workers compute.
    """

    def __init__(self, batcher: Batcher):
        self._batcher = batcher
        self._arrived: list[tuple[Job, asyncio.Future[SimulationResult]]] = []
        self._waiting = 0

    def submit(self, job: Job) -> "asyncio.Future[SimulationResult]":
        """The job's result, or the error of `Batcher.submit`; cancelling it drops what has not been computed."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[SimulationResult] = loop.create_future()
        if not self._arrived:
            loop.call_soon(self._flush)
        self._arrived.append((job, waiting))
        self._waiting += 1
        waiting.add_done_callback(self._settled)
        return waiting

    def _settled(self, _: object) -> None:
        self._waiting -= 1

    def _flush(self) -> None:
        arrived, self._arrived = self._arrived, []
        alone = self._waiting == 1
        for job, waiting in arrived:
            if waiting.cancelled():
                job.future.cancel()
                job.plan.tally.failed("cancelled")
                continue
            _chain(job, waiting)
            if job.future.done():  # nothing to compute
                continue
            try:
                self._batcher.submit(job, wake=not alone)
            except ZdcError as error:
                job.fail(error)
        if alone:
            self._batcher.help(_HELP_SECONDS)


def _chain(job: Job, waiting: "asyncio.Future[SimulationResult]") -> None:
    """Settle `waiting` as the job's future is settled, on the loop's thread, and cancel the job with it."""
    loop, thread = waiting.get_loop(), threading.get_ident()

    def settle(future: "Future[SimulationResult]") -> None:
        if waiting.done():
            return
        if future.cancelled():
            waiting.cancel()
        elif (error := future.exception()) is not None:
            waiting.set_exception(error)
        else:
            waiting.set_result(future.result())

    def on_done(future: "Future[SimulationResult]") -> None:
        if threading.get_ident() == thread:
            settle(future)
        elif not loop.is_closed():
            loop.call_soon_threadsafe(settle, future)

    def on_cancelled(cancelled: "asyncio.Future[SimulationResult]") -> None:
        if cancelled.cancelled():
            job.future.cancel()

    waiting.add_done_callback(on_cancelled)
    job.future.add_done_callback(on_done)
