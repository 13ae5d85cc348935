"""Separation power of histograms: 1/2 sum over bins of (a - b)^2 / (a + b); 0 if equal, 1 if disjoint.

As in the CaloChallenge (Krause et al., arXiv:2410.21611), for the photon sum, the centroid minus the impact point, the
width and the number of lit fibres. Two samples of N showers from the same distribution give about bins / (2 N). This
bias is large for small samples; the floor has the same bias.
"""

import numpy as np
from numpy.typing import NDArray

from zdc_metrics.scores.classifier import FEATURES
from zdc_metrics.statistics.bootstrap import Resampled
from zdc_metrics.statistics.splits import Way

#: Number of bins; each has the same number of simulated showers.
BINS = 20
#: Minimum number of particles: with fewer, the bins are mostly noise.
MINIMUM = 20
#: Compared quantities and their features; the powers of centroid and width are means over x and y.
QUANTITIES = {
    "photon_sum": ("photon_sum",),
    "centroid": ("centroid_x_minus_impact", "centroid_y_minus_impact"),
    "width": ("width_x", "width_y"),
    "lit_fibres": ("lit_fibres",),
}

Features = NDArray[np.float32]
Histograms = NDArray[np.float64]


def separation_powers(
    simulated: Features, generated: Features, draws: NDArray[np.intp], ways: list[Way], floors: list[Way]
) -> dict[str, Resampled]:
    """Separation power of each of `QUANTITIES`, two repeats against two, averaged over the ways.

    Empty for fewer than `MINIMUM` particles and without floors, since only the floor shows the bias. Empty responses
    have no centroid and no width and are left out there; their share is a separate figure.

    Parameters
    ----------
    simulated, generated : Columns `FEATURES`, shapes (P, R, F) and (P, G, F).
    draws : Indices of resampled particles, shape (B, P).
    """
    if len(simulated) < MINIMUM or not floors:
        return {}
    counts = np.array([np.bincount(row, minlength=len(simulated)) for row in draws], dtype=np.float64)
    weights = np.vstack([np.ones(len(simulated)), counts.reshape(-1, len(simulated))])
    found = {}
    for name, features in QUANTITIES.items():
        sides: list[list[NDArray[np.float64]]] = [[], []]
        for feature in features:
            column = FEATURES.index(feature)
            real, made = _histograms(simulated[..., column], generated[..., column])
            sides[0] += [_mean_power(real, list(a), made, list(b), weights) for a, b in ways]
            sides[1] += [_mean_power(real, list(a), real, list(b), weights) for a, b in floors]
        model, floor = (np.mean(side, axis=0) for side in sides)
        found[name] = Resampled(float(model[0]), float(floor[0]), model[1:], floor[1:], recentre=True)
    return found


def separation_power(first: Histograms, second: Histograms) -> NDArray[np.float64]:
    """Separation power of histograms with any norm, shapes (..., bins); nan if one is empty."""
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = (side / side.sum(axis=-1, keepdims=True) for side in (first, second))
        terms = np.where(a + b == 0, 0, (a - b) ** 2 / (a + b))
    power: NDArray[np.float64] = 0.5 * terms.sum(axis=-1)
    return power


def _histograms(simulated: NDArray[np.float32], generated: NDArray[np.float32]) -> tuple[Histograms, Histograms]:
    """Histograms of each particle and repeat, shapes (P, R, bins) and (P, G, bins), in bins of the simulated values."""
    defined = simulated[np.isfinite(simulated)].astype(np.float64)
    inner = np.unique(np.quantile(defined, np.arange(1, BINS) / BINS)) if len(defined) else np.zeros(1)
    if len(defined) and inner[0] == defined.min():  # no photons: the value of many showers gets its own bin
        inner[0] = np.nextafter(inner[0], np.inf)
    sides = []
    for values in (simulated.astype(np.float64), generated.astype(np.float64)):
        place = np.searchsorted(inner, values, side="right")
        place[~np.isfinite(values)] = len(inner) + 1
        sides.append(np.eye(len(inner) + 2)[place][..., :-1])
    return sides[0], sides[1]


def _mean_power(
    first: Histograms, a: list[int], second: Histograms, b: list[int], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    return separation_power(weights @ first[:, a].sum(axis=1), weights @ second[:, b].sum(axis=1))
