"""Figures of merit with their floors, resampled over particles.

Every function takes channel sums or photon sums of one group of P particles and `draws`, indices of resampled
particles of shape (B, P).
"""

import math

import numpy as np
from numpy.typing import NDArray

from zdc_metrics.statistics.bootstrap import Resampled, mean_over_particles
from zdc_metrics.statistics.distances import (
    DISPERSION_MINIMUM,
    cross_distance,
    crps_floor,
    fair_crps,
    photon_sum_variance,
    self_distance,
)
from zdc_metrics.statistics.splits import Way

Sums = NDArray[np.int64]
Draws = NDArray[np.intp]


def wasserstein(simulated: Sums, generated: Sums, draws: Draws, ways: list[Way], floors: list[Way]) -> Resampled:
    """Channel Wasserstein distance, two repeats against two, averaged over `ways`; its floor over `floors`."""

    def both(rows: NDArray[np.intp]) -> tuple[float, float]:
        sorted_simulated = _sorted_samples(simulated[rows], [a for a, _ in ways] + [s for way in floors for s in way])
        sorted_generated = _sorted_samples(generated[rows], [b for _, b in ways])
        value = np.mean([_sorted_distance(sorted_simulated[a], sorted_generated[b]) for a, b in ways])
        below = [_sorted_distance(sorted_simulated[a], sorted_simulated[b]) for a, b in floors]
        return float(value), float(np.mean(below)) if below else math.nan

    value, floor = both(np.arange(len(simulated)))
    resampled = np.array([both(rows) for rows in draws]).reshape(-1, 2)
    return Resampled(value, floor, resampled[:, 0], resampled[:, 1], recentre=True)


def _sorted_samples(sums: Sums, choices: list[tuple[int, ...]]) -> dict[tuple[int, ...], Sums]:
    """For each choice of repeats, each channel's sums over all particles in ascending order, shape (C, P * len)."""
    return {c: np.sort(sums[:, list(c)].reshape(-1, sums.shape[2]).T, axis=1) for c in set(choices)}


def _sorted_distance(a: Sums, b: Sums) -> float:
    """Mean over channels of W1 between samples of equal size: the mean |difference| of their order statistics."""
    return float(np.abs(a - b).mean())


def mae(simulated: Sums, generated: Sums, draws: Draws) -> Resampled:
    """Mean absolute error of the channels; its floor between two simulations of a particle."""
    return _means(cross_distance(simulated, generated), self_distance(simulated), draws)


def crps(simulated: Sums, generated: Sums, draws: Draws) -> Resampled:
    """Fair CRPS of the channels; its floor takes one simulation as truth and the others as the ensemble."""
    return _means(fair_crps(simulated, generated), crps_floor(simulated), draws)


def empty(simulated: Sums, generated: Sums, draws: Draws) -> Resampled:
    """Share of empty responses, with the simulated share as its floor; from photon sums of shape (P, repeats)."""
    return _means((generated == 0).mean(axis=1), (simulated == 0).mean(axis=1), draws)


def _means(values: NDArray[np.float64], floors: NDArray[np.float64], draws: Draws) -> Resampled:
    return Resampled(
        float(values.mean()),
        float(floors.mean()),
        mean_over_particles(values, draws),
        mean_over_particles(floors, draws),
    )


def spread(simulated: Sums, generated: Sums, draws: Draws, floors: list[Way]) -> Resampled:
    """Dispersion of the photon sum over repeats; its floor between two simulations and two others.

    From photon sums of shape (P, repeats). The mean over a split and its reverse, on a logarithmic scale, would be 1 by
    construction. Therefore each split is used in one direction, and the interval shows the precision of two repeats.
    """
    bright = simulated.mean(axis=1) > DISPERSION_MINIMUM
    weights = bright.astype(np.float64)

    def ratio(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = np.vstack([np.arange(len(weights)), draws])
        above, below = ((side * weights)[rows].sum(axis=1) for side in (top, bottom))
        with np.errstate(divide="ignore", invalid="ignore"):
            root: NDArray[np.float64] = np.sqrt(above / below)
        return root

    values = ratio(photon_sum_variance(generated), photon_sum_variance(simulated))
    pairs = {choice: photon_sum_variance(simulated[:, list(choice)]) for way in floors for choice in way}
    below = np.mean([ratio(pairs[a], pairs[b]) for a, b in floors], axis=0)
    return Resampled(float(values[0]), float(below[0]), values[1:], below[1:])
