"""A simulation on its way through the batcher: which rows it has, and where their results go."""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from zdc_detector.finish import Finish
from zdc_detector.particles import Particles

from zdc_service.engine import Engine
from zdc_service.simulation import Hits, Output, SimulationResult, join_hits


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

    @property
    def rows(self) -> int:
        """Rows of the whole request."""
        return len(self.index) * self.repeats

    def kept(self, start: int, stop: int) -> NDArray[np.intp]:
        """Index into `particles` of each row of a block."""
        rows = np.arange(start, stop)
        return rows if self.repeats == 1 else rows // self.repeats

    def numbers(self, start: int, stop: int) -> NDArray[np.uint64]:
        """Random row number of each row of a block: first_row + particle * repeats + repeat."""
        rows = np.arange(start, stop, dtype=np.uint64)
        repeats = np.uint64(self.repeats)
        particle = self.index[(rows // repeats).astype(np.intp)].astype(np.uint64)
        return np.uint64(self.first_row) + particle * repeats + rows % repeats

    @property
    def photon_type(self) -> np.dtype[np.generic]:
        """Of responses and hits."""
        return np.dtype(np.float32 if self.finish is Finish.NONE else np.uint16)

    @property
    def channel_type(self) -> np.dtype[np.generic]:
        """Of channel sums."""
        return np.dtype(np.float32 if self.finish is Finish.NONE else np.uint32)

    @property
    def row_bytes(self) -> int:
        """Most bytes that one row takes in an answer; hits are counted as if every fibre were lit."""
        calorimeter = self.engine.card.calorimeter
        fibre = {Output.RESPONSE: 0, Output.HITS: 2, Output.CHANNELS: -self.photon_type.itemsize}[self.output]
        labels = 13  # particle, side and offset
        channels = len(calorimeter.channel_names) * self.channel_type.itemsize
        return calorimeter.fibres * (self.photon_type.itemsize + fibre) + channels + labels


class Job:
    """Rows ``start:stop`` of a plan, filled in by the batcher's workers slice by slice.

    Attributes
    ----------
    future : Gets the result; cancelling it drops what has not been computed.
    next_row : First row that no worker has taken; only touched under the batcher's lock.
    deadline : `time.monotonic` after which nobody wants the result, or None.
    """

    def __init__(self, plan: Plan, start: int, stop: int, deadline: float | None = None):
        self.plan = plan
        self.start, self.stop, self.next_row = start, stop, start
        self.deadline = deadline
        self.submitted = time.monotonic()
        self.future: Future[SimulationResult] = Future()
        rows, calorimeter = stop - start, plan.engine.card.calorimeter
        self._channels = np.zeros((rows, len(calorimeter.channel_names)), dtype=plan.channel_type)
        self._images: NDArray[np.generic] | None = None
        if plan.output is Output.RESPONSE:
            self._images = np.empty((rows, *calorimeter.shape), dtype=plan.photon_type)
        self._hits: dict[int, Hits] = {}
        self._missing = rows
        self._lock = threading.Lock()
        if not rows:
            self.future.set_result(self._result())

    def deliver(self, start: int, images: NDArray[np.generic], channels: NDArray[np.generic]) -> None:
        """Take the finished rows from `start` on; the last ones complete the future."""
        at = start - self.start
        self._channels[at : at + len(images)] = channels
        if self._images is not None:
            self._images[at : at + len(images)] = images
        elif self.plan.output is Output.HITS:
            self._hits[start] = to_hits(images)
        with self._lock:
            self._missing -= len(images)
            complete = self._missing == 0
        if complete:
            self._settle(lambda: self.future.set_result(self._result()))

    def fail(self, error: BaseException) -> None:
        """Give up on the job, unless it has been settled."""
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
            channels=self._channels,
            response=self._images,
            hits=hits,
            skipped=plan.skipped,
            extrapolated=plan.extrapolated,
        )


def to_hits(images: NDArray[np.generic]) -> Hits:
    """The non-zero fibres of N images."""
    flat = images.reshape(len(images), -1)
    row, fibre = np.nonzero(flat)
    offsets = np.zeros(len(images) + 1, dtype=np.uint64)
    offsets[1:] = np.cumsum(np.bincount(row, minlength=len(images)))
    return Hits(offsets, fibre.astype(np.uint16), flat[row, fibre])
