"""Frechet distance of physics features, corrected for the bias of finite samples.

The distance between the Gaussians with the means and covariances of the samples is
|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), in squared standard deviations of the simulated features.

For samples of N showers it is too large by about c/N. As in Chong & Forsyth, "Effectively unbiased FID and Inception
Score" (CVPR 2020, arXiv:1911.07023), and in the FPD of Kansal et al., "Evaluating generative models in high energy
physics" (PRD 107, 076017, 2023, arXiv:2211.10295), it is computed at several sizes, evenly spaced in 1/N, and a
straight line is extrapolated to 1/N = 0. The sizes are N, N/2 .. N/`PARTS`: the particles, with their repeats in both
samples, are divided into 1, 2 .. `PARTS` parts, and the distance at a size is the mean over the parts.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from zdc_metrics.statistics.bootstrap import Resampled
from zdc_metrics.statistics.splits import Way

PARTS = 4
#: Minimum number of particles: with fewer, the covariances of the parts are mostly noise, and the bias is not linear.
MINIMUM = 80
_DEALS = 20

Features = NDArray[np.float64]
RowIndices = NDArray[np.intp]


def frechet(
    simulated: Features,
    generated: Features,
    draws: RowIndices,
    ways: list[Way],
    floors: list[Way],
    rng: np.random.Generator,
) -> Resampled | None:
    """Frechet distance, two repeats against two, averaged over the ways; None for fewer than `MINIMUM` particles.

    A resample takes the sample as the distribution, which adds a bias; the resampled values are shifted to remove it.

    Parameters
    ----------
    simulated, generated : Scaled features, shapes (P, R, D) and (P, G, D).
    draws : Indices of resampled particles, shape (B, P).
    """
    particles = len(simulated)
    if particles < MINIMUM:
        return None
    deals = rng.permuted(np.tile(np.arange(particles), (_DEALS, 1)), axis=1)
    rows = np.concatenate([deals, draws])
    model = np.mean([extrapolated(simulated[:, list(a)], generated[:, list(b)], rows) for a, b in ways], axis=0)
    floors_found = [extrapolated(simulated[:, list(a)], simulated[:, list(b)], rows) for a, b in floors]
    floor = np.mean(floors_found, axis=0) if floors_found else np.full_like(model, np.nan)
    (value, values), (below, belows) = (_shifted(found) for found in (model, floor))
    return Resampled(value, below, values, belows)


def _shifted(found: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    value, values = float(found[:_DEALS].mean()), found[_DEALS:]
    return value, values + (value - np.median(values) if len(values) else 0.0)


def extrapolated(first: Features, second: Features, rows: RowIndices) -> NDArray[np.float64]:
    """Distance of two samples of the same particles at 1/N = 0.

    Parameters
    ----------
    first, second : Features, shapes (P, repeats, D).
    rows : Particles in an order that is random, or drawn with replacement; shape (K, n).

    Returns
    -------
    One distance for each of the K rows; it may be negative.
    """
    moments = [_moments(sample) for sample in (first, second)]
    sizes = np.arange(1.0, PARTS + 1)
    found = np.array([_mean_over_parts(moments, rows, parts) for parts in range(1, PARTS + 1)])
    centred = sizes - sizes.mean()
    slope = centred @ found / (centred @ centred)
    intercept: NDArray[np.float64] = found.mean(axis=0) - slope * sizes.mean()
    return intercept


_Moments = tuple[int, NDArray[np.float64], NDArray[np.float64]]


def _moments(sample: Features) -> _Moments:
    """Repeats, and each particle's sums of features, shape (P, D), and of their products, shape (P, D * D)."""
    squares = np.einsum("pri,prj->pij", sample, sample)
    return sample.shape[1], sample.sum(axis=1), squares.reshape(len(sample), -1)


def _mean_over_parts(moments: list[_Moments], rows: RowIndices, parts: int) -> NDArray[np.float64]:
    edges = np.linspace(0, rows.shape[1], parts + 1).astype(int)
    particles = len(moments[0][1])
    distances = []
    for low, high in pairwise(edges):
        counts = np.array([np.bincount(row[low:high], minlength=particles) for row in rows], dtype=np.float64)
        distances.append(gaussian_distance(*(value for side in moments for value in _gaussian(side, counts))))
    mean: NDArray[np.float64] = np.mean(distances, axis=0)
    return mean


def _gaussian(moments: _Moments, counts: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    repeats, sums, squares = moments
    size = counts.sum(axis=1, keepdims=True) * repeats
    mean = counts @ sums / size
    second = (counts @ squares / size).reshape(*mean.shape, -1)
    covariance = (second - mean[:, :, None] * mean[:, None]) * (size / (size - 1))[:, :, None]
    return mean, covariance


def gaussian_distance(
    mean: NDArray[np.float64],
    covariance: NDArray[np.float64],
    other_mean: NDArray[np.float64],
    other_covariance: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Frechet distances of K pairs of Gaussians, from means (K, D) and covariances (K, D, D).

    tr (C1 C2)^(1/2) is the sum of the roots of the eigenvalues of C1^(1/2) C2 C1^(1/2), which is symmetric.
    """
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))[:, None]) @ np.swapaxes(vectors, 1, 2)
    between = np.linalg.eigvalsh(root @ other_covariance @ root)
    overlap = np.sqrt(np.maximum(between, 0)).sum(axis=1)
    traces = np.trace(covariance + other_covariance, axis1=1, axis2=2)
    distance: NDArray[np.float64] = ((mean - other_mean) ** 2).sum(axis=1) + traces - 2 * overlap
    return distance
