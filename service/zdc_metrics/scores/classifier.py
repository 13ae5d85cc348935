"""Classifier of generated against simulated responses; an AUC of 0.5 means that they are indistinguishable.

Gradient boosting on features of a shower and its conditions. Scores are held out by particle: the showers of a particle
are scored by a classifier that was trained without this particle.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import CONDITIONS, ENERGY

from zdc_metrics.statistics.bootstrap import Resampled
from zdc_metrics.statistics.splits import Way

FOLDS = 5
_LEAF = 20  # minimum number of showers in a leaf; training needs at least two leaves
BRIGHTEST = 10
FEATURES = (
    "photon_sum",
    "sum_over_energy",
    "centroid_x_minus_impact",
    "centroid_y_minus_impact",
    "width_x",
    "width_y",
    "lit_fibres",
    "single_photons",
    *(f"brightest_{i + 1}" for i in range(BRIGHTEST)),
    *CONDITIONS,
)


def shower_features(
    responses: NDArray[np.generic], conditions: NDArray[np.float32], calorimeter: Calorimeter
) -> NDArray[np.float32]:
    """The features of each shower, columns `FEATURES`.

    Parameters
    ----------
    responses : Photons per fibre, shape (N, rows, columns).
    conditions : Shape (N, 9).

    Returns
    -------
    Shape (N, len(FEATURES)); lengths in cm; nan for the centroid and widths of an empty response.
    """
    photons = responses.astype(np.float32)
    total = photons.sum(axis=(1, 2))
    impact = calorimeter.impact_points(conditions)
    shape = []
    with np.errstate(divide="ignore", invalid="ignore"):
        for axis in (0, 1):
            profile = photons.sum(axis=2 - axis)
            position = fibre_positions(calorimeter, axis)
            centroid = profile @ position / total
            square = profile @ position**2 / total
            shape.append((centroid - impact[:, axis], np.sqrt(np.maximum(square - centroid**2, 0))))
    flat = photons.reshape(len(photons), -1)
    if flat.shape[1] < BRIGHTEST:
        flat = np.pad(flat, ((0, 0), (0, BRIGHTEST - flat.shape[1])))
    brightest = -np.sort(-np.partition(flat, -BRIGHTEST, axis=1)[:, -BRIGHTEST:], axis=1)
    columns = [total, total / conditions[:, ENERGY], shape[0][0], shape[1][0], shape[0][1], shape[1][1]]
    columns += [np.count_nonzero(flat, axis=1), np.count_nonzero(flat == 1, axis=1)]
    return np.column_stack([*columns, brightest, conditions]).astype(np.float32)


def fibre_positions(calorimeter: Calorimeter, axis: int) -> NDArray[np.float64]:
    """Centres of the fibres along x (axis 0) or y (axis 1) [cm]."""
    n, half = calorimeter.shape[axis], calorimeter.half_width[axis]
    positions: NDArray[np.float64] = (np.arange(n, dtype=np.float64) + 0.5) * (2 * half / n) - half
    return positions


@dataclass(frozen=True)
class HeldOutScores:
    """Scores of two samples of the same P particles, by classifiers trained without the scored particle.

    Attributes
    ----------
    first, second : Scores of the two samples, shapes (P, repeats).
    fold : Number of the classifier that scored a particle, shape (P,); -1 if there was too little to train on.
    """

    first: NDArray[np.float64]
    second: NDArray[np.float64]
    fold: NDArray[np.intp]


def held_out_scores(first: NDArray[np.float32], second: NDArray[np.float32], seed: int) -> HeldOutScores:
    """Train classifiers of `first` against `second` in `FOLDS` folds of particles.

    Parameters
    ----------
    first, second : Features, shapes (P, repeats, features), equal numbers of repeats.
    seed : Shuffles the particles into folds.
    """
    particles, repeats, features = first.shape
    fold = np.random.default_rng(seed).permutation(particles).astype(np.intp) % FOLDS
    both = np.concatenate([first, second], axis=1)
    label = np.repeat([0, 1], repeats)
    scores = np.zeros((particles, 2 * repeats))
    for k in range(FOLDS):
        seen, held = fold != k, fold == k
        if not held.any():
            continue
        if 2 * repeats * int(seen.sum()) < 2 * _LEAF:
            fold[held] = -1
            continue
        model = HistGradientBoostingClassifier(
            learning_rate=0.1,
            max_iter=60,
            max_leaf_nodes=8,
            min_samples_leaf=_LEAF,
            early_stopping=False,
            random_state=seed,
        )
        rows = both[seen].reshape(-1, features)
        rows[:, np.isnan(rows).all(axis=0)] = 0  # no light at all: scikit-learn needs a value for each feature
        # One thread: the samples are small, and on a busy machine more threads would wait for each other.
        with threadpool_limits(limits=1):
            model.fit(rows, np.tile(label, int(seen.sum())))
            scored = model.predict_proba(both[held].reshape(-1, features))[:, 1]
        scores[held] = scored.reshape(-1, 2 * repeats)
    return HeldOutScores(scores[:, :repeats], scores[:, repeats:], fold)


def auc(scores: HeldOutScores, particles: NDArray[np.intp], draws: NDArray[np.intp]) -> NDArray[np.float64]:
    """Area under the ROC curve over pairs of showers in the same fold, for a group of particles and its resamples.

    Only scores of the same classifier are compared. A tie counts 1/2.

    Parameters
    ----------
    particles : The group, indices, shape (n,).
    draws : Resampled positions in the group, shape (B, n).

    Returns
    -------
    Shape (1 + B,): the group itself first; nan if no fold has a pair.
    """
    n = len(particles)
    counts = np.array([np.ones(n), *(np.bincount(row, minlength=n) for row in draws)])
    wins, pairs = np.zeros(len(counts)), np.zeros(len(counts))
    for k in np.unique(scores.fold[particles][scores.fold[particles] >= 0]):
        inside = np.flatnonzero(scores.fold[particles] == k)
        rows = particles[inside]
        below, above = scores.first[rows], scores.second[rows]
        order = np.unique(np.concatenate([below.ravel(), above.ravel()]), return_inverse=True)[1]
        weights = counts[:, inside]
        low = _weight_per_score(weights, order[: below.size], below.shape[1], int(order.max()) + 1)
        high = _weight_per_score(weights, order[below.size :], above.shape[1], int(order.max()) + 1)
        wins += np.sum(high * (np.cumsum(low, axis=1) - 0.5 * low), axis=1)
        pairs += low.sum(axis=1) * high.sum(axis=1)
    with np.errstate(invalid="ignore"):
        area: NDArray[np.float64] = wins / pairs
    return area


def _weight_per_score(
    weights: NDArray[np.float64], order: NDArray[np.intp], repeats: int, scores: int
) -> NDArray[np.float64]:
    """Sum of the particles' weights at each distinct score, shape (B, scores)."""
    place = np.zeros((weights.shape[1], scores))
    np.add.at(place, (np.repeat(np.arange(weights.shape[1]), repeats), order), 1.0)
    summed: NDArray[np.float64] = weights @ place
    return summed


@dataclass(frozen=True)
class ClassifierScores:
    """Held-out scores of generated against simulated and of simulated against simulated showers."""

    model: list[HeldOutScores]
    floor: list[HeldOutScores]

    def resampled(self, particles: NDArray[np.intp], draws: NDArray[np.intp]) -> Resampled:
        """AUC of a group of particles, averaged over the ways of choosing the repeats.

        Only the held-out particles are resampled, not the training sets: the intervals do not include the noise of the
        training.
        """
        model = np.mean([auc(s, particles, draws) for s in self.model], axis=0)
        floors = [auc(s, particles, draws) for s in self.floor]
        floor = np.mean(floors, axis=0) if floors else np.full_like(model, np.nan)
        return Resampled(float(model[0]), float(floor[0]), model[1:], floor[1:])


def separate(
    simulated: NDArray[np.float32],
    generated: NDArray[np.float32],
    ways: list[Way],
    floors: list[Way],
    seed: int,
) -> ClassifierScores:
    """Train classifiers on two repeats against two, one for each way.

    Parameters
    ----------
    simulated, generated : Features, shapes (P, R, F) and (P, G, F).
    """
    model = [held_out_scores(simulated[:, list(a)], generated[:, list(b)], seed) for a, b in ways]
    floor = [held_out_scores(simulated[:, list(a)], simulated[:, list(b)], seed) for a, b in floors]
    return ClassifierScores(model, floor)
