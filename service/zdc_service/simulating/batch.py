"""Rows of several jobs side by side, as the engine takes them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from zdc_detector.random import normals_of

from zdc_service.simulating.job import Job


@dataclass(frozen=True)
class Slice:
    """Rows ``start:stop`` of a job, as a worker took them."""

    job: Job
    start: int
    stop: int


class Batch:
    """What one run of a model needs, and the random numbers' keys.

    Attributes
    ----------
    conditions, pdg, noise : Of each row, for `Engine.run`.
    seeds, rows : Seed and number of each row: what its random numbers are made of, uint64, shape (N,).
    """

    def __init__(self, slices: list[Slice]):
        """Rows in the order of the slices, which are of one model."""
        size = sum(part.stop - part.start for part in slices)
        card = slices[0].job.plan.engine.card
        self.conditions = np.empty((size, len(card.conditions)), dtype=np.float32)
        self.pdg = np.empty(size, dtype=np.int64)
        self.seeds = np.empty(size, dtype=np.uint64)
        self.rows = np.empty(size, dtype=np.uint64)
        given: list[tuple[int, int, NDArray[np.float32]]] = []
        at = 0
        for part in slices:
            plan, start, stop = part.job.plan, part.start, part.stop
            end = at + stop - start
            kept = plan.kept(start, stop)
            self.conditions[at:end] = plan.particles.conditions[kept]
            self.pdg[at:end] = plan.particles.pdg[kept]
            self.seeds[at:end] = plan.seeds[start:stop]
            self.rows[at:end] = plan.numbers[start:stop]
            if plan.noise is not None:
                given.append((at, end, plan.noise[kept]))
            at = end
        self.noise = normals_of(self.seeds, self.rows, card.noise.dimension)
        for first, last, noise in given:
            self.noise[first:last] = noise

    def __len__(self) -> int:
        return len(self.rows)
