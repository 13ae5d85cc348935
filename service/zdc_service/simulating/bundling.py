"""Bundles: small requests that are checked and computed together.

To check, queue and answer a request of one particle costs as much as to compute it. Requests that wait for the same
model are therefore checked and computed as one block of rows, which is cut into their results. The random numbers of
a row depend on its own seed and row number only, so its result is the same with or without the others.
"""

import time
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import DeadlineError, ZdcError
from zdc_detector.hits import to_hits
from zdc_detector.particles import Particles
from zdc_detector.random import MAX_ROW, MAX_SEED, fresh_seed

from zdc_service.engine.engine import Engine
from zdc_service.simulating.answers import LATE, Waiting, call_on, set_error
from zdc_service.simulating.plan import Kind, RowInputs, finish_of
from zdc_service.simulation import OutOfRange, Output, SimulationRequest, SimulationResult
from zdc_service.telemetry.statistics import Timing

#: Maximum number of rows of a request that is bundled; for larger requests the fixed costs matter little.
SMALL_ROWS = 8


def can_be_bundled(request: SimulationRequest, most_rows: int) -> bool:
    """Whether a request can be computed together with others, if its particles are in the trained range.

    Parameters
    ----------
    request : Not checked yet. If its seed or first row is outside the bounds, `Planner.plan` says so.
    most_rows : Maximum number of rows, at most `SMALL_ROWS`.
    """
    rows, seed, first_row = len(request.particles), request.seed, request.first_row
    return (
        0 < rows <= most_rows
        and request.repeats == 1
        and request.noise is None
        and request.out_of_range is OutOfRange.ERROR
        and (seed is None or (type(seed) is int and 0 <= seed < MAX_SEED))
        and type(first_row) is int
        and 0 <= first_row <= MAX_ROW - rows
    )


class SmallRequest:
    """A request that `can_be_bundled`, and its caller on an event loop.

    Each request is counted once in the statistics, on the loop's thread: when its future gets a result or an error, or
    when its caller cancels it.

    Attributes
    ----------
    request, engine : The request and its model.
    kind : Model and finish of its rows.
    rows : Number of its rows.
    waiting : The future of the caller.
    deadline : `time.monotonic` after which the caller does not need the result, or None.
    arrived : `time.monotonic` of its making.
    """

    __slots__ = ("arrived", "deadline", "engine", "kind", "request", "rows", "waiting")

    def __init__(self, request: SimulationRequest, engine: Engine, waiting: Waiting, deadline: float | None):
        self.request = request
        self.engine = engine
        self.kind: Kind = (engine, finish_of(request, engine))
        self.rows = len(request.particles)
        self.waiting = waiting
        self.deadline = deadline
        self.arrived = time.monotonic()

    def count_failed(self, kind: str) -> None:
        """Count it as failed, by the kind of its error."""
        self.engine.statistics.failed(kind, time.monotonic() - self.arrived)

    def fail(self, error: BaseException) -> None:
        """Give the caller an error; can be called on any thread."""
        _answer([self], [error])


class Refused(NamedTuple):
    """A small request with particles outside the trained range.

    Attributes
    ----------
    small : The request.
    reasons : Of each particle, as `Ranges.outside` gives them.
    """

    small: SmallRequest
    reasons: NDArray[np.uint8]


class RequestBundle:
    """Small requests of one model, finish and output, as one block of rows.

    Attributes
    ----------
    rows : Number of all rows.
    waited : Seconds from the arrival of the requests, on average, until this was made.
    """

    def __init__(self, small: Sequence[SmallRequest], inputs: RowInputs, side: NDArray[np.bytes_]):
        """Rows of the requests, one request after the other, and ``A`` or ``C`` of each row."""
        self.rows = len(side)
        self.waited = time.monotonic() - sum(one.arrived for one in small) / len(small)
        self._small = small
        self._inputs = inputs
        self._side = side

    @property
    def ended(self) -> bool:
        """Whether nobody waits for it any more."""
        return all(one.waiting.done() for one in self._small)

    def inputs(self) -> RowInputs:
        """Input of its rows."""
        return self._inputs

    def alone(self) -> "list[RequestBundle]":
        """The same rows as one member of a batch for each request."""
        return [RequestBundle([one], self._inputs.of(rows), self._side[rows]) for one, rows in self._blocks()]

    def deliver(self, images: NDArray[np.generic], channels: NDArray[np.generic], timing: Timing) -> None:
        """Cut the finished rows into the results of the requests. Nobody may change the rows later."""
        engine, finish = self._small[0].kind
        card, output = engine.card, self._small[0].request.output
        model, version, calorimeter = card.name, card.version, card.calorimeter
        shape, channel_names = calorimeter.shape, calorimeter.channel_names
        hits = to_hits(images) if output is Output.HITS else None
        particle = np.arange(SMALL_ROWS, dtype=np.uint32)
        timing = timing._replace(queue=self.waited)
        results = [
            SimulationResult(
                model=model,
                version=version,
                seed=int(self._inputs.seeds[rows.start]),
                first_row=one.request.first_row,
                repeats=1,
                finish=finish,
                shape=shape,
                channel_names=channel_names,
                particle=particle[: one.rows],
                side=self._side[rows],
                channels=channels[rows],
                response=images[rows] if output is Output.RESPONSE else None,
                hits=None if hits is None else hits.rows(rows.start, rows.stop),
                timing=timing,
                frame=one.request.frame,
            )
            for one, rows in self._blocks()
        ]
        _answer(self._small, results)

    def fail(self, error: BaseException) -> None:
        """Give all callers an error."""
        _answer(self._small, [error] * len(self._small))

    def _blocks(self) -> list[tuple[SmallRequest, slice]]:
        """Each request with its rows."""
        edges = [0, *accumulate(one.rows for one in self._small)]
        return [(one, slice(*block)) for one, block in zip(self._small, pairwise(edges), strict=True)]


def bundle(small: Sequence[SmallRequest]) -> tuple[list[RequestBundle], list[Refused]]:
    """Bundle requests of one kind, one bundle for each output; requests that are out of range are left out."""
    outputs: dict[Output, list[SmallRequest]] = {}
    for one in small:
        outputs.setdefault(one.request.output, []).append(one)
    bundles, refused = [], []
    for several in outputs.values():
        particles = _particles_of(several)
        card = several[0].engine.card
        reasons = card.ranges.outside(particles, card.calorimeter)
        if reasons.any():
            good, bad = _by_range(several, reasons)
            refused += bad
            if not good:
                continue
            several, particles = good, _particles_of(good)
        bundles.append(_bundle_of(several, particles))
    return bundles, refused


def _by_range(small: Sequence[SmallRequest], reasons: NDArray[np.uint8]) -> tuple[list[SmallRequest], list[Refused]]:
    """Requests whose particles are all in the trained range, and the others."""
    good, bad, first = [], [], 0
    for one in small:
        its = reasons[first : first + one.rows]
        first += one.rows
        if its.any():
            bad.append(Refused(one, its))
        else:
            good.append(one)
    return good, bad


def _particles_of(small: Sequence[SmallRequest]) -> Particles:
    if len(small) == 1:
        return small[0].request.particles
    return Particles.concatenate([one.request.particles for one in small])


def _bundle_of(small: Sequence[SmallRequest], particles: Particles) -> RequestBundle:
    requests = [one.request for one in small]
    seeds = np.array([fresh_seed() if one.seed is None else one.seed for one in requests], dtype=np.uint64)
    numbers = np.array([one.first_row for one in requests], dtype=np.uint64)
    if len(particles) > len(small):
        sizes = [one.rows for one in small]
        firsts = np.array([0, *accumulate(sizes[:-1])], dtype=np.uint64)
        seeds = np.repeat(seeds, sizes)
        numbers = np.repeat(numbers - firsts, sizes) + np.arange(len(particles), dtype=np.uint64)
    card = small[0].engine.card
    aimed = card.ranges.aimed(particles, card.calorimeter)
    return RequestBundle(small, RowInputs(aimed.conditions, aimed.pdg, seeds, numbers), particles.side)


def _answer(small: Sequence[SmallRequest], outcomes: Sequence[SimulationResult | BaseException]) -> None:
    """Give each caller a result or an error; can be called on any thread."""
    call_on(small[0].waiting.get_loop(), _settle, small, outcomes)


def _settle(small: Sequence[SmallRequest], outcomes: Sequence[SimulationResult | BaseException]) -> None:
    """End requests and count them, on the loop's thread; cancelled ones are skipped, their cancellation counts them."""
    now = time.monotonic()
    answered: list[SmallRequest] = []
    for one, outcome in zip(small, outcomes, strict=True):
        if one.waiting.done():
            continue
        if not isinstance(outcome, SimulationResult):
            one.count_failed(outcome.kind if isinstance(outcome, ZdcError) else "internal")
            set_error(one.waiting, outcome)
        elif one.deadline is not None and now > one.deadline:
            one.count_failed(DeadlineError.kind)
            set_error(one.waiting, DeadlineError(LATE))
        else:
            timing = outcome.timing
            answered.append(one)
            one.waiting.set_result(outcome)
    if answered:
        seconds = now - sum(one.arrived for one in answered) / len(answered)
        rows = sum(one.rows for one in answered)
        answered[0].engine.statistics.succeeded(rows, seconds, timing, len(answered))
