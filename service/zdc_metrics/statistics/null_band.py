"""Null distribution of the dispersion: repeats of the generator in place of the simulated ones."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zdc_metrics.statistics.bootstrap import LEVEL
from zdc_metrics.statistics.distances import DISPERSION_MINIMUM, photon_sum_variance

_DRAWS = 400


@dataclass(frozen=True)
class NullDispersion:
    """D draws in which R of the generated repeats of each of P particles replace the simulated ones.

    Attributes
    ----------
    top, bottom : Variances over the other repeats and over the R repeats, zero for faint particles, shapes (D, P).
    """

    top: NDArray[np.float64]
    bottom: NDArray[np.float64]

    def interval(self, particles: NDArray[np.intp]) -> tuple[float, float] | None:
        """Central range of the dispersions of a group at the level `LEVEL`; None if fewer than half are defined."""
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.sqrt(self.top[:, particles].sum(axis=1) / self.bottom[:, particles].sum(axis=1))
        values = values[np.isfinite(values)]
        if 2 * len(values) < len(self.top):
            return None
        low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return float(low), float(high)


def null_dispersion(generated: NDArray[np.int64], simulated: int, rng: np.random.Generator) -> NullDispersion | None:
    """Draw `simulated` of the generated photon sums, shape (P, G), for each particle, many times.

    None if G < 3 `simulated`, since too few repeats would remain for the generator, and None for single simulations,
    which have no variance.
    """
    if simulated < 2 or generated.shape[1] < 3 * simulated:
        return None
    tops, bottoms = [], []
    for _ in range(_DRAWS):
        mixed = rng.permuted(generated, axis=1)
        truth, other = mixed[:, :simulated], mixed[:, simulated:]
        bright = truth.mean(axis=1) > DISPERSION_MINIMUM
        tops.append(photon_sum_variance(other) * bright)
        bottoms.append(photon_sum_variance(truth) * bright)
    return NullDispersion(np.array(tops), np.array(bottoms))
