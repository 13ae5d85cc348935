"""Rows of a plan on their way through the queue, and how their results are put together."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import ZdcError
from zdc_detector.hits import Hits, join_hits, to_hits

from zdc_service.simulating.plan import Kind, Plan, RowInputs
from zdc_service.simulation import Output, SimulationResult
from zdc_service.telemetry.statistics import NO_TIMING, Timing


class Job:
    """Rows ``start:stop`` of a plan; several threads can compute some of them at the same time.

    Attributes
    ----------
    kind : Model and finish of its rows.
    future : Gets the result; cancel it to drop the rows that have not been computed.
    next_row : First row that no thread has taken; only the queue changes it, under its lock.
    deadline : `time.monotonic` after which nobody needs the result, or None.
    submitted : `time.monotonic` of its making.
    waited : Seconds from then to its first batch; set by the queue.
    """

    def __init__(self, plan: Plan, start: int, stop: int, deadline: float | None = None):
        self.plan = plan
        self.kind: Kind = (plan.engine, plan.finish)
        self.start, self.stop, self.next_row = start, stop, start
        self.deadline = deadline
        self.submitted = time.monotonic()
        self.waited = 0.0
        self.future: Future[SimulationResult] = Future()
        self._channels: NDArray[np.generic] | None = None
        self._images: NDArray[np.generic] | None = None
        self._hits: dict[int, Hits] = {}
        self._missing = stop - start
        self._timing = NO_TIMING
        self._lock = threading.Lock()
        if not self._missing:  # everything was skipped
            calorimeter = plan.engine.card.calorimeter
            self._channels = np.zeros((0, len(calorimeter.channel_names)), dtype=plan.channel_type)
            if plan.output is Output.RESPONSE:
                self._images = np.zeros((0, *calorimeter.shape), dtype=plan.photon_type)
            self.future.set_result(self._result())
            plan.tally.delivered(0, self._timing)

    @property
    def rows(self) -> int:
        """Rows that no thread has taken."""
        return self.stop - self.next_row

    @property
    def begun(self) -> bool:
        """Whether a thread has taken some of its rows."""
        return self.next_row > self.start

    def take(self, most: int, now: float) -> "JobRows":
        """The next rows that no thread has taken, at most so many, for a batch at `now`; called by the queue."""
        start, self.next_row = self.next_row, min(self.next_row + most, self.stop)
        if start == self.start:
            self.waited = now - self.submitted
        return JobRows(self, start, self.next_row)

    def deliver(self, start: int, images: NDArray[np.generic], channels: NDArray[np.generic], timing: Timing) -> None:
        """Take the finished rows from `start` on; the last ones complete the future. Nobody may change them later."""
        hits = to_hits(images) if self.plan.output is Output.HITS else None
        dense = images if self.plan.output is Output.RESPONSE else None
        with self._lock:
            if len(channels) < self.stop - self.start:
                self._fill(start - self.start, dense, channels)
            else:
                self._images, self._channels = dense, channels
            if hits is not None:
                self._hits[start] = hits
            self._timing = self._timing.plus(timing)
            self._missing -= len(channels)
            complete = self._missing == 0
        if complete:
            self._settle(lambda: self.future.set_result(self._result()))
            self.plan.tally.delivered(self.stop - self.start, self._timing)

    def _fill(self, at: int, images: NDArray[np.generic] | None, channels: NDArray[np.generic]) -> None:
        """Copy rows to their places in buffers for the whole job; the first call allocates the buffers."""
        rows = self.stop - self.start
        if self._channels is None:
            self._channels = np.empty((rows, *channels.shape[1:]), dtype=channels.dtype)
            if images is not None:
                self._images = np.empty((rows, *images.shape[1:]), dtype=images.dtype)
        self._channels[at : at + len(channels)] = channels
        if images is not None and self._images is not None:
            self._images[at : at + len(images)] = images

    def fail(self, error: BaseException) -> None:
        """End the job with an error, unless it has ended already."""
        self.plan.tally.failed(error.kind if isinstance(error, ZdcError) else "internal")
        self._settle(lambda: self.future.set_exception(error))

    def _settle(self, settle: Callable[[], None]) -> None:
        with suppress(InvalidStateError):  # it was cancelled, or other rows of it failed first
            settle()

    def _result(self) -> SimulationResult:
        plan, card = self.plan, self.plan.engine.card
        kept = plan.kept(self.start, self.stop)
        hits = None
        if plan.output is Output.HITS:
            hits = join_hits([self._hits[start] for start in sorted(self._hits)], plan.photon_type)
        return SimulationResult(
            model=card.name,
            version=card.version,
            seed=plan.seed,
            first_row=plan.first_row,
            repeats=plan.repeats,
            finish=plan.finish,
            shape=card.calorimeter.shape,
            channel_names=card.calorimeter.channel_names,
            particle=plan.index[kept],
            side=plan.side[kept],
            channels=cast("NDArray[np.generic]", self._channels),
            response=self._images,
            hits=hits,
            frame=plan.frame,
            skipped=plan.skipped,
            extrapolated=plan.extrapolated,
            timing=self._timing,
        )


@dataclass(frozen=True, slots=True)
class JobRows:
    """Rows ``start:stop`` of a job that are computed in one batch."""

    job: Job
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """Number of its rows."""
        return self.stop - self.start

    @property
    def waited(self) -> float | None:
        """Seconds that its job has waited, if these are its first rows."""
        return self.job.waited if self.start == self.job.start else None

    @property
    def ended(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.job.future.done()

    def inputs(self) -> RowInputs:
        """Input of its rows."""
        return self.job.plan.inputs(self.start, self.stop)

    def alone(self) -> "list[JobRows]":
        """Itself: all its rows are of one caller."""
        return [self]

    def deliver(self, images: NDArray[np.generic], channels: NDArray[np.generic], timing: Timing) -> None:
        """Hand its finished rows to the job."""
        self.job.deliver(self.start, images, channels, timing._replace(queue=self.waited or 0.0))

    def fail(self, error: BaseException) -> None:
        """End its job with an error."""
        self.job.fail(error)
