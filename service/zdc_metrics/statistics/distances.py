"""Definitions of the figures of merit, on channel sums in photons.

Shapes: P particles, R simulated and G generated repeats, C channels. Some functions return one value per particle; the
caller averages them, also over resampled particles.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

#: Minimum mean photon sum of a particle for the dispersion; darker particles give no information on it.
DISPERSION_MINIMUM = 5.0


def channel_wasserstein(simulated: NDArray[np.generic], generated: NDArray[np.generic]) -> float:
    """Mean over the channels of the one-dimensional W1 distance between two samples of sums [photons].

    Parameters
    ----------
    simulated, generated : Channel sums, shapes (N, C) and (M, C).
    """
    channels = zip(simulated.T, generated.T, strict=True)
    return float(np.mean([wasserstein_distance(a, b) for a, b in channels]))


def cross_distance(simulated: NDArray[np.generic], generated: NDArray[np.generic]) -> NDArray[np.float64]:
    """Mean |generated - simulated| over all pairs of repeats and the channels, for each particle, shape (P,).

    Parameters
    ----------
    simulated, generated : Channel sums, shapes (P, R, C) and (P, G, C).
    """
    b = generated.astype(np.float64)
    truths = np.moveaxis(simulated.astype(np.float64), 1, 0)  # one repeat at a time, to limit the memory
    distance: NDArray[np.float64] = np.mean([np.abs(b - a[:, None]).mean(axis=(1, 2)) for a in truths], axis=0)
    return distance


def self_distance(sums: NDArray[np.generic]) -> NDArray[np.float64]:
    """Mean |difference| over all pairs of different repeats and the channels, for each particle, shape (P,).

    In ascending order, the k-th of R values has k smaller and R - 1 - k larger ones, so that no pairs are needed:
    sum over i < j of |x_i - x_j| = sum over k of (2 k - R + 1) x_(k).

    Parameters
    ----------
    sums : Channel sums, shape (P, R, C); nan for R = 1.
    """
    repeats = sums.shape[1]
    if repeats < 2:
        return np.full(len(sums), np.nan)
    weights = 2 * np.arange(repeats) - repeats + 1
    ordered = np.sort(sums.astype(np.float64), axis=1)
    distance: NDArray[np.float64] = np.einsum("r,prc->p", weights, ordered) * (
        2 / (repeats * (repeats - 1) * sums.shape[2])
    )
    return distance


def mean_absolute_error(simulated: NDArray[np.generic], generated: NDArray[np.generic]) -> float:
    """Mean over particles of (sum over channels |generated - simulated|) / C [photons].

    A generated response is paired with a simulated one of the same particle. The mean over all pairs is equal to the
    mean over all choices of two against two. Shapes as in `cross_distance`.
    """
    return float(cross_distance(simulated, generated).mean())


def fair_crps(simulated: NDArray[np.generic], generated: NDArray[np.generic]) -> NDArray[np.float64]:
    """Fair continuous ranked probability score of each particle, averaged over channels [photons], shape (P,).

    For a truth y and an ensemble x_1 .. x_G: mean |x_i - y| - 1/2 mean over i != j of |x_i - x_j|, unbiased in G
    (Ferro, "Fair scores for ensemble forecasts", QJRMS 140, 2014), averaged over the simulated repeats as truths.
    Its expectation is smallest for the true distribution. Shapes as in `cross_distance`, G >= 2.
    """
    score: NDArray[np.float64] = cross_distance(simulated, generated) - 0.5 * self_distance(generated)
    return score


def crps_floor(simulated: NDArray[np.generic]) -> NDArray[np.float64]:
    """Fair CRPS of each particle with one simulation as truth and the others as the ensemble, shape (P,).

    Averaged over the choice of the truth, it is half the mean distance between two simulations.
    """
    return 0.5 * self_distance(simulated)


def photon_sum_variance(sums: NDArray[np.generic]) -> NDArray[np.float64]:
    """Unbiased variance of the photon sum over the repeats of each particle, from (P, R) sums, shape (P,).

    It is nan for a single repeat.
    """
    if sums.shape[1] < 2:
        return np.full(len(sums), np.nan)
    variance: NDArray[np.float64] = sums.astype(np.float64).var(axis=1, ddof=1)
    return variance


def dispersion(simulated: NDArray[np.generic], generated: NDArray[np.generic]) -> float:
    """Square root of (mean variance of the photon sum over repeats, generated) / (the same, simulated).

    Only particles with a mean simulated photon sum above `DISPERSION_MINIMUM` are used; nan if there are none.

    Parameters
    ----------
    simulated, generated : Photon sums, shapes (P, R) and (P, G), R and G >= 2.
    """
    bright = simulated.mean(axis=1) > DISPERSION_MINIMUM
    if not bright.any():
        return float("nan")
    ratio = photon_sum_variance(generated[bright]).mean() / photon_sum_variance(simulated[bright]).mean()
    return float(np.sqrt(ratio))


def empty_share(sums: NDArray[np.generic]) -> float:
    """Share of responses without photons, from photon sums of any shape."""
    return float(np.mean(sums == 0))
