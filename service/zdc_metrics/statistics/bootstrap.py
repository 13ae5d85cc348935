"""Bootstrap over particles: all repeats of a particle, simulated and generated, are drawn together."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Share of the resampled values inside an interval.
LEVEL = 0.9


@dataclass(frozen=True)
class Resampled:
    """A figure and its floor, for the particles as they are and for B resamples of them.

    Attributes
    ----------
    value, floor : For the particles as they are; nan where undefined.
    values, floors : For each resample, drawn jointly, shape (B,).
    recentre : Whether resampling with replacement inflates the figure itself, see `interval`.
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
    """Means of a one-number-a-particle quantity over each resample, shape (B,)."""
    means: NDArray[np.float64] = per_particle[draws].mean(axis=1)
    return means


def interval(value: float, resampled: NDArray[np.float64], recentre: bool) -> tuple[float, float] | None:
    """Percentile interval that holds `LEVEL` of the resampled values; None where fewer than half are defined.

    A distance between two finite samples, such as W1, is a bias plus the noise of both. A resample holds some
    particles several times and others never, which raises its noise by about sqrt(2): the resampled distances lie
    above the estimate. With `recentre` they are divided by their median and multiplied by `value`.
    """
    defined = resampled[np.isfinite(resampled)]
    if not np.isfinite(value) or 2 * len(defined) < len(resampled) or len(defined) < 2:
        return None
    low, middle, high = np.quantile(defined, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2])
    scale = value / middle if recentre and middle > 0 else 1.0
    return float(low * scale), float(high * scale)
