"""Precision, recall, density and coverage: overlap of generated and simulated showers in the space of features.

The ball of a shower extends to its `NEIGHBOURS`-th nearest neighbour in the same sample, in scaled physics features.
Precision is the share of generated showers inside the ball of a simulated one, recall the share of simulated ones
inside the ball of a generated one (Kynkäänniemi et al., "Improved precision and recall metric for assessing generative
models", NeurIPS 2019, arXiv:1904.06991). Density is the mean number of simulated balls around a generated shower,
divided by `NEIGHBOURS`; coverage is the share of simulated balls that contain a generated shower (Naeem et al.,
"Reliable fidelity and diversity metrics for generative models", ICML 2020, arXiv:2002.09797).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from zdc_metrics.statistics.bootstrap import Resampled, mean_over_particles
from zdc_metrics.statistics.splits import Way

NEIGHBOURS = 5
#: Minimum number of particles: fewer are too sparse in a space of so many features.
MINIMUM = 20
NAMES = ("precision", "recall", "density", "coverage")
_BLOCK = 1000

Features = NDArray[np.float64]


def coverage(
    simulated: Features, generated: Features, draws: NDArray[np.intp], ways: list[Way], floors: list[Way]
) -> dict[str, Resampled]:
    """The four `NAMES`, two repeats against two, averaged over the ways.

    Empty for fewer than `MINIMUM` particles and without floors: the values have no meaning without them. Resamples draw
    particles; the balls stay the same.

    Parameters
    ----------
    simulated, generated : Scaled features, shapes (P, R, D) and (P, G, D).
    draws : Indices of resampled particles, shape (B, P).
    """
    if len(simulated) < MINIMUM or not floors:
        return {}
    model = np.mean([shares(simulated[:, list(a)], generated[:, list(b)]) for a, b in ways], axis=0)
    # Each half of a split takes the place of the generator once.
    splits = [way for a, b in floors for way in ((a, b), (b, a))]
    floor = np.mean([shares(simulated[:, list(a)], simulated[:, list(b)]) for a, b in splits], axis=0)
    return {
        name: Resampled(
            float(value.mean()),
            float(below.mean()),
            mean_over_particles(value, draws),
            mean_over_particles(below, draws),
        )
        for name, value, below in zip(NAMES, model, floor, strict=True)
    }


def shares(real: Features, made: Features) -> NDArray[np.float64]:
    """Precision, recall, density and coverage of each particle, averaged over its repeats, shape (4, P).

    Parameters
    ----------
    real, made : Features, shapes (P, a, D) and (P, b, D).
    """
    rows, others = (sample.reshape(-1, sample.shape[2]) for sample in (real, made))
    real_radius, made_radius = _radii(rows), _radii(others)
    inside_made = np.zeros(len(rows), dtype=np.bool_)
    covered = np.zeros(len(rows), dtype=np.bool_)
    around = np.zeros(len(others))
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, start + _BLOCK)
        distance = cdist(rows[block], others)
        in_real_ball = distance <= real_radius[block, None]
        around += in_real_ball.sum(axis=0)
        covered[block] = in_real_ball.any(axis=1)
        inside_made[block] = (distance <= made_radius).any(axis=1)
    columns = (around > 0, inside_made, around / NEIGHBOURS, covered)
    return np.array([column.reshape(len(real), -1).mean(axis=1) for column in columns])


def _radii(sample: Features) -> Features:
    """Distance of each row to its `NEIGHBOURS`-th nearest other row, shape (N,)."""
    near = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(sample)
    distances: Features = near.kneighbors()[0]  # without an argument, a row is not its own neighbour
    radii: Features = distances[:, -1]
    return radii
