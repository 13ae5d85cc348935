"""What is to be computed for one request: the plan of its rows, and the count of those that are done."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from zdc_detector.finish import Finish
from zdc_detector.frames import Frame
from zdc_detector.particles import Particles

from zdc_service.engine.engine import Engine
from zdc_service.simulation import Output, SimulationRequest
from zdc_service.telemetry.statistics import NO_TIMING, Statistics, Timing

#: Rows of equal model and finish can share a batch.
Kind = tuple[Engine, Finish]


def finish_of(request: SimulationRequest, engine: Engine) -> Finish:
    """How a request's rates become its answer."""
    return Finish.NONE if request.rates else engine.card.finish


class RowInputs(NamedTuple):
    """Input of N rows.

    Attributes
    ----------
    conditions, pdg : Of each row's particle, mirrored to +z: float32, shape (N, conditions), and int64, shape (N,).
    seeds, numbers : Seed and random row number of each row, uint64, shape (N,).
    noise : Given by the caller, float32, shape (N, noise dimension), or None.
    """

    conditions: NDArray[np.float32]
    pdg: NDArray[np.int64]
    seeds: NDArray[np.uint64]
    numbers: NDArray[np.uint64]
    noise: NDArray[np.float32] | None = None

    def of(self, rows: slice) -> "RowInputs":
        """Some of the rows."""
        noise = None if self.noise is None else self.noise[rows]
        return RowInputs(self.conditions[rows], self.pdg[rows], self.seeds[rows], self.numbers[rows], noise)


@dataclass(frozen=True)
class Plan:
    """A request that was checked: everything that its rows depend on.

    Rows are counted from 0 over the kept particles and their repeats; `numbers` gives their random numbers' rows.

    Attributes
    ----------
    engine : The model.
    particles : The K particles that are simulated, mirrored to +z.
    index : Their places in the request, uint32, shape (K,).
    side : ``A`` or ``C`` before mirroring, S1, shape (K,).
    seed, first_row, repeats, output : As in `SimulationRequest`; the seed is drawn if the request has none.
    finish : How rates become the answer.
    skipped, extrapolated : Particles outside the trained range, counted by reason.
    tally : Counts the request's rows as they are computed.
    noise : Of each kept particle, or None if it is drawn.
    frame : As in `SimulationRequest`.
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
    frame: Frame = Frame.VERTEX

    @property
    def rows(self) -> int:
        """Rows of the whole request."""
        return len(self.index) * self.repeats

    def kept(self, start: int, stop: int) -> slice | NDArray[np.intp]:
        """Index into `particles` of each row of a block."""
        return slice(start, stop) if self.repeats == 1 else np.arange(start, stop) // self.repeats

    def inputs(self, start: int, stop: int) -> RowInputs:
        """Input of a block of rows."""
        kept = self.kept(start, stop)
        return RowInputs(
            self.particles.conditions[kept],
            self.particles.pdg[kept],
            np.full(stop - start, self.seed, dtype=np.uint64),
            self.numbers[start:stop],
            None if self.noise is None else self.noise[kept],
        )

    @cached_property
    def numbers(self) -> NDArray[np.uint64]:
        """Random row number of each row: first_row + particle * repeats + repeat, uint64, shape (rows,)."""
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
    """Counts the rows of one request that are still missing, in all its jobs; its end is counted in the statistics."""

    def __init__(self, rows: int, statistics: Statistics):
        """Begin when the request has arrived, with its `rows`."""
        self._missing = rows
        self._rows = rows
        self._statistics = statistics
        self._began = time.monotonic()
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
        self._statistics.succeeded(self._rows, time.monotonic() - self._began, self._timing)

    def failed(self, kind: str) -> None:
        """The request ends without its rows, unless it has ended already."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
        self._statistics.failed(kind, time.monotonic() - self._began)
