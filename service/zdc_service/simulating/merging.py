"""Small requests that arrive together become one plan, whose result is cut into theirs.

To check, queue and settle a request costs as much as to compute it, when it asks for one particle. A row's numbers
depend on its own seed and row number alone, so that nobody can tell whether they were computed together.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from zdc_common.errors import DeadlineError, InvalidInputError, NotReadyError, OutOfRangeError, OverloadedError
from zdc_detector.finish import Finish
from zdc_detector.particles import Particles
from zdc_detector.random import MAX_ROW, check_seed, fresh_seed

from zdc_service.engine.engine import Engine
from zdc_service.simulating.job import Plan, Tally
from zdc_service.simulation import OutOfRange, SimulationRequest, SimulationResult

#: Most rows of a request that is worth merging; larger ones hardly notice what a request costs.
SMALL_ROWS = 8

#: Errors of a merged job that are of none of its requests in particular.
REFUSALS = (DeadlineError, NotReadyError, OverloadedError)
_KINDS_OF_ALL = frozenset(("cancelled", *(error.kind for error in REFUSALS)))


def merging_key(request: SimulationRequest, engine: Engine) -> Hashable | None:
    """Small requests of equal keys can be merged; None for those that cannot.

    Parameters
    ----------
    request : Of at most `SMALL_ROWS` particles.
    engine : The model that it asks for.
    """
    if request.repeats != 1 or request.noise is not None or request.out_of_range is not OutOfRange.ERROR:
        return None
    return engine, request.output, request.rates


class _TallyOfSeveral(Tally):
    """Of merged requests. Where one of them breaks a batch, all are computed again, each with a tally of its own."""

    def failed(self, kind: str) -> None:
        """All requests end without their rows, unless each gets another try."""
        if kind in _KINDS_OF_ALL:
            super().failed(kind)


@dataclass(frozen=True)
class Merged:
    """Requests of one key as one plan.

    Attributes
    ----------
    plan : Their rows, one request after the other.
    requests, seeds, edges : The requests, their seeds, and the first row of each, with the end of the last.
    """

    plan: Plan
    requests: Sequence[SimulationRequest]
    seeds: Sequence[int]
    edges: Sequence[int]

    def parts(self, result: SimulationResult) -> list[SimulationResult]:
        """The results of the requests from that of the plan."""
        return [
            _rows(result, request, seed, start, stop)
            for request, seed, start, stop in zip(
                self.requests, self.seeds, self.edges[:-1], self.edges[1:], strict=True
            )
        ]


def merge(requests: Sequence[SimulationRequest], engine: Engine) -> Merged:
    """One plan for requests of one key; fails where one of them cannot be planned.

    Raises
    ------
    InvalidInputError, OutOfRangeError : plan each by itself to learn whose it is, and why.
    """
    first = requests[0]
    seeds = [fresh_seed() if request.seed is None else request.seed for request in requests]
    for request, seed in zip(requests, seeds, strict=True):
        check_seed(seed, request.first_row)
        if request.first_row + len(request.particles) > MAX_ROW:
            raise InvalidInputError("a first_row leaves no room below 2^63")
    sizes = [len(request.particles) for request in requests]
    edges = [0, *accumulate(sizes)]
    particles = Particles.concatenate([request.particles for request in requests])
    if engine.card.ranges.outside(particles).any():
        raise OutOfRangeError("a particle is outside the trained range")
    index = np.arange(len(particles), dtype=np.uint32)
    keys = np.array(seeds, dtype=np.uint64), np.array([request.first_row for request in requests], dtype=np.uint64)
    if sizes.count(1) < len(sizes):
        offsets = keys[1] - np.array(edges[:-1], dtype=np.uint64)
        keys = np.repeat(keys[0], sizes), np.repeat(offsets, sizes) + index
    plan = Plan(
        engine=engine,
        particles=particles.toward_a(),
        index=index,
        side=particles.side,
        seed=0,
        first_row=0,
        repeats=1,
        output=first.output,
        finish=Finish.NONE if first.rates else engine.card.finish,
        skipped={},
        extrapolated={},
        tally=_TallyOfSeveral(len(particles), engine.statistics, len(requests)),
        keys=keys,
    )
    return Merged(plan, requests, seeds, edges)


def _rows(result: SimulationResult, request: SimulationRequest, seed: int, start: int, stop: int) -> SimulationResult:
    return SimulationResult(
        model=result.model,
        version=result.version,
        seed=seed,
        first_row=request.first_row,
        repeats=1,
        finish=result.finish,
        shape=result.shape,
        channel_names=result.channel_names,
        particle=result.particle[: stop - start],
        side=result.side[start:stop],
        channels=result.channels[start:stop],
        response=None if result.response is None else result.response[start:stop],
        hits=None if result.hits is None else result.hits.rows(start, stop),
        timing=result.timing,
    )
