"""Bootstrap over particles: all simulated and generated repeats of a particle are drawn together."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Confidence level of the intervals.
LEVEL = 0.9


@dataclass(frozen=True)
class Resampled:
    """A figure and its floor, for the particles and for B resamples of them.

    Attributes
    ----------
    value, floor : For the particles; nan if undefined.
    values, floors : For each resample, drawn jointly, shape (B,).
    recentre : Whether resampling with replacement increases the figure, see `interval`.
    """

    value: float
    floor: float
    values: NDArray[np.float64]
    floors: NDArray[np.float64]
    recentre: bool = False


def draw_particles(particles: int, resamples: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Indices of particles drawn with replacement, shape (resamples, particles)."""
    return rng.integers(0, particles, size=(resamples, particles), dtype=np.intp)


def mean_over_particles(per_particle: NDArray[np.float64], draws: NDArray[np.intp]) -> NDArray[np.float64]:
    """Means over each resample, shape (B,), of a quantity with one value per particle, shape (P,)."""
    means: NDArray[np.float64] = per_particle[draws].mean(axis=1)
    return means


def interval(value: float, resampled: NDArray[np.float64], recentre: bool) -> tuple[float, float] | None:
    """Percentile interval at the confidence level `LEVEL`; None if fewer than half of the values are defined.

    A distance between two finite samples, such as W1, grows with the noise of both. A resample has some particles
    several times and others not at all, which increases its noise by about sqrt(2), and so the resampled distances are
    larger than the estimate. With `recentre` they are divided by their median and multiplied by `value`.
    """
    defined = resampled[np.isfinite(resampled)]
    if not np.isfinite(value) or 2 * len(defined) < len(resampled) or len(defined) < 2:
        return None
    low, middle, high = np.quantile(defined, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2])
    scale = value / middle if recentre and middle > 0 else 1.0
    return float(low * scale), float(high * scale)
