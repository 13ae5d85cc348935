"""A simulation on its way through the batcher: which rows it has, and where their results go."""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import ZdcError
from zdc_detector.finish import Finish
from zdc_detector.hits import Hits, join_hits, to_hits
from zdc_detector.particles import Particles

from zdc_service.engine.engine import Engine
from zdc_service.simulation import Output, SimulationResult
from zdc_service.telemetry.statistics import NO_TIMING, Statistics, Timing


@dataclass(frozen=True)
class Plan:
    """A request as checked: everything that its rows depend on.

    Rows are counted from 0 over the kept particles and their repeats; `numbers` gives their random numbers' rows.

    Attributes
    ----------
    engine : The model.
    particles : The K particles that are simulated, mirrored to +z.
    index : Their places in the request, uint32, shape (K,).
    side : ``A`` or ``C`` before mirroring, S1, shape (K,).
    seed, first_row, repeats, output : As in `SimulationRequest`, the seed drawn where none was given.
    finish : How rates become what is answered.
    skipped, extrapolated : Particles outside the trained range, counted by reason.
    tally : Counts the request's rows as they are computed.
    noise : Of each kept particle, where the request brought it.
    keys : Seed and number of each row where they are not `seed` and `first_row` and what follows.
    """

    engine: Engine
    particles: Particles
    index: NDArray[np.uint32]
    side: NDArray[np.bytes_]
    seed: int
    first_row: int
    repeats: int
    output: Output
    finish: Finish
    skipped: Mapping[str, int]
    extrapolated: Mapping[str, int]
    tally: "Tally"
    noise: NDArray[np.float32] | None = None
    keys: tuple[NDArray[np.uint64], NDArray[np.uint64]] | None = None

    @property
    def rows(self) -> int:
        """Rows of the whole request."""
        return len(self.index) * self.repeats

    def kept(self, start: int, stop: int) -> slice | NDArray[np.intp]:
        """Index into `particles` of each row of a block."""
        return slice(start, stop) if self.repeats == 1 else np.arange(start, stop) // self.repeats

    @cached_property
    def seeds(self) -> NDArray[np.uint64]:
        """Seed of each row, uint64, shape (rows,)."""
        return np.full(self.rows, self.seed, dtype=np.uint64) if self.keys is None else self.keys[0]

    @cached_property
    def numbers(self) -> NDArray[np.uint64]:
        """Random row number of each row: first_row + particle * repeats + repeat, uint64, shape (rows,)."""
        if self.keys is not None:
            return self.keys[1]
        first: NDArray[np.uint64] = self.index.astype(np.uint64) * np.uint64(self.repeats) + np.uint64(self.first_row)
        if self.repeats == 1:
            return first
        return np.repeat(first, self.repeats) + np.tile(np.arange(self.repeats, dtype=np.uint64), len(first))

    @property
    def photon_type(self) -> np.dtype[np.generic]:
        """Of responses and hits."""
        return np.dtype(np.float32 if self.finish is Finish.NONE else np.uint16)

    @property
    def channel_type(self) -> np.dtype[np.generic]:
        """Of channel sums."""
        return np.dtype(np.float32 if self.finish is Finish.NONE else np.uint32)

    @cached_property
    def row_bytes(self) -> int:
        """Most bytes that one row takes in an answer; hits are counted as if every fibre were lit."""
        calorimeter = self.engine.card.calorimeter
        fibre = {Output.RESPONSE: 0, Output.HITS: 2, Output.CHANNELS: -self.photon_type.itemsize}[self.output]
        labels = 13  # particle, side and offset
        channels = len(calorimeter.channel_names) * self.channel_type.itemsize
        return calorimeter.fibres * (self.photon_type.itemsize + fibre) + channels + labels


class Tally:
    """Rows of one request that are still to come, whatever the jobs that it is cut into; ends in the statistics.

    Attributes
    ----------
    requests : How many it stands for.
    began : `time.monotonic` of their arrival.
    """

    def __init__(self, rows: int, statistics: Statistics, requests: int = 1):
        """`rows` of one request, or of several that were merged."""
        self.requests = requests
        self._missing = rows
        self._rows = rows
        self._statistics = statistics
        self.began = time.monotonic()
        self._timing = NO_TIMING
        self._ended = False
        self._lock = threading.Lock()

    def delivered(self, rows: int, timing: Timing) -> None:
        """Rows are done; the last ones make the request a success."""
        with self._lock:
            self._missing -= rows
            self._timing = self._timing.plus(timing)
            if self._ended or self._missing:
                return
            self._ended = True
        self._statistics.succeeded(self._rows, time.monotonic() - self.began, self._timing, self.requests)

    def failed(self, kind: str) -> None:
        """The request ends without its rows, unless it has ended before."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
        self._statistics.failed(kind, time.monotonic() - self.began, self.requests)


class Job:
    """Rows ``start:stop`` of a plan, filled in by the batcher's workers slice by slice.

    Attributes
    ----------
    future : Gets the result; cancelling it drops what has not been computed.
    next_row : First row that no worker has taken; only touched under the batcher's lock.
    deadline : `time.monotonic` after which nobody wants the result, or None.
    submitted : `time.monotonic` of its making.
    waited : Seconds from then to its first batch; set by the batcher.
    """

    def __init__(self, plan: Plan, start: int, stop: int, deadline: float | None = None):
        self.plan = plan
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
    def begun(self) -> bool:
        """Whether a worker has taken some of it."""
        return self.next_row > self.start

    def deliver(self, start: int, images: NDArray[np.generic], channels: NDArray[np.generic], timing: Timing) -> None:
        """Take the finished rows from `start` on, which nobody changes any more; the last ones complete the future."""
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
        """Copy rows into their places in buffers for the whole job, which the first ones allocate."""
        rows = self.stop - self.start
        if self._channels is None:
            self._channels = np.empty((rows, *channels.shape[1:]), dtype=channels.dtype)
            if images is not None:
                self._images = np.empty((rows, *images.shape[1:]), dtype=images.dtype)
        self._channels[at : at + len(channels)] = channels
        if images is not None and self._images is not None:
            self._images[at : at + len(images)] = images

    def fail(self, error: BaseException) -> None:
        """Give up on the job, unless it has been settled."""
        self.plan.tally.failed(error.kind if isinstance(error, ZdcError) else "internal")
        self._settle(lambda: self.future.set_exception(error))

    def _settle(self, settle: Callable[[], None]) -> None:
        with suppress(InvalidStateError):  # cancelled meanwhile, or another slice failed first
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
            skipped=plan.skipped,
            extrapolated=plan.extrapolated,
            timing=self._timing,
        )
