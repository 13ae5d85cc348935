"""Rows of several callers side by side, as the engine takes them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from zdc_detector.random import normals_of

from zdc_service.simulating.plan import RowInputs


class Batch:
    """Input of one run of a model.

    Attributes
    ----------
    conditions, pdg, noise : Of each row, for `Engine.run`.
    seeds, numbers : Seed and random row number of each row, the key of its random numbers, uint64, shape (N,).
    """

    def __init__(self, members: Sequence[RowInputs], noise_dimension: int):
        """Rows of the members, all of one model, in their order; draws the noise that the callers have not given."""
        conditions, pdg, seeds, numbers, _ = (
            members[0] if len(members) == 1 else RowInputs(*map(np.concatenate, list(zip(*members, strict=True))[:4]))
        )
        self.conditions = np.ascontiguousarray(conditions, dtype=np.float32)
        self.pdg = np.ascontiguousarray(pdg, dtype=np.int64)
        self.seeds: NDArray[np.uint64] = seeds
        self.numbers: NDArray[np.uint64] = numbers
        self.noise = normals_of(seeds, numbers, noise_dimension)
        first = 0
        for member in members:
            stop = first + len(member.pdg)
            if member.noise is not None:
                self.noise[first:stop] = member.noise
            first = stop

    def __len__(self) -> int:
        return len(self.numbers)
