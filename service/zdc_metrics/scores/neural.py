"""A neural classifier following the protocol of the CaloChallenge (Krause et al., arXiv:2410.21611).

Showers are divided 60/20/20 into training, validation and test, here by particle. A small network is kept from the
epoch with the smallest validation loss and is calibrated on the validation part by isotonic regression. AUC and
Jensen-Shannon divergence are computed on the test part. Five such divisions test every particle once.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from threadpoolctl import threadpool_limits
from zdc_detector.particles import CONDITIONS, ENERGY

from zdc_metrics.scores.classifier import ClassifierScores, HeldOutScores
from zdc_metrics.scores.networks import Networks
from zdc_metrics.scores.physics import physics_features
from zdc_metrics.statistics.bootstrap import Resampled, mean_over_particles
from zdc_metrics.statistics.splits import Way

#: Number of parts: one is the test part, the next one the validation part.
PARTS = 5
_EPOCHS = 30

Features = NDArray[np.float64]


class NeuralScores:
    """Neural classification of two samples of the same P particles, tested on held-out particles.

    Attributes
    ----------
    scores : Scores of the network before calibration, which does not change their order.
    information : 1 - loss / log 2 of the calibrated probabilities, mean over the showers of a particle, shape (P,). Its
        mean over particles is the Jensen-Shannon divergence: 0 if the samples are equal, 1 if they are disjoint. It is
        negative if the probabilities are worse than guessing, as with small samples. It is nan without training data.
    """

    def __init__(self, first: Features, second: Features, seed: int) -> None:
        """Train on features of shapes (P, repeats, D), equal numbers of repeats; `seed` divides and initialises."""
        particles, repeats, _ = first.shape
        part = np.random.default_rng(seed).permutation(particles).astype(np.intp) % PARTS
        scored = part.copy()
        both = np.concatenate([first, second], axis=1)
        label = np.repeat([0, 1], repeats)
        raw, calibrated = (np.full(both.shape[:2], 0.5) for _ in range(2))
        alike: dict[int, list[int]] = {}  # networks with equal numbers of training particles train together
        for k in range(PARTS):
            training = int(np.count_nonzero(~_held(part, k)))
            if training and (part == k).any() and (part == (k + 1) % PARTS).any():
                alike.setdefault(training, []).append(k)
            else:
                scored[part == k], calibrated[part == k] = -1, np.nan
        # One thread: the matrices are small.
        with threadpool_limits(limits=1):
            for numbers in alike.values():
                for k, trained in zip(numbers, _best(both, label, part, numbers, seed), strict=True):
                    test, validation = part == k, part == (k + 1) % PARTS
                    known, truth = _flat(both[validation]), np.tile(label, int(validation.sum()))
                    raw[test] = trained(_flat(both[test])).reshape(-1, 2 * repeats)
                    # Rule of succession: n showers of one kind give a probability of at most (n + 1) / (n + 2).
                    least = 1 / (len(truth) + 2)
                    curve = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip")
                    curve.fit(trained(known), truth)
                    calibrated[test] = curve.predict(raw[test].ravel()).reshape(-1, 2 * repeats)
        self.scores = HeldOutScores(raw[:, :repeats], raw[:, repeats:], scored)
        right = np.where(label, calibrated, 1 - calibrated)
        self.information = 1 + np.log2(right).mean(axis=1)


def _best(
    both: Features, label: NDArray[np.int64], part: NDArray[np.intp], numbers: list[int], seed: int
) -> list[Callable[[Features], Features]]:
    """For each division of `numbers`, the probabilities by the network of the epoch with the smallest validation loss.

    Parameters
    ----------
    both : Showers of both samples, shape (P, 2 repeats, D), with the labels of a particle, shape (2 repeats,).
    part : Part of each particle, shape (P,).
    """
    rows = np.stack([_flat(both[~_held(part, k)]) for k in numbers])
    networks = Networks(rows, np.tile(label, rows.shape[1] // len(label)), seed)
    known = [_flat(both[part == (k + 1) % PARTS]) for k in numbers]
    truth = [np.tile(label, len(showers) // len(label)) == 1 for showers in known]
    least, kept = np.full(len(numbers), np.inf), networks.weights.copy()
    for _ in range(_EPOCHS):
        networks.train()
        for i, (showers, right) in enumerate(zip(known, truth, strict=True)):
            probability = np.clip(networks.probability(showers, networks.weights[i]), 1e-6, 1 - 1e-6)
            loss = -np.log(np.where(right, probability, 1 - probability)).mean()
            if loss < least[i]:
                least[i], kept[i] = loss, networks.weights[i]
    return [partial(networks.probability, weights=weights) for weights in kept]


def _held(part: NDArray[np.intp], k: int) -> NDArray[np.bool_]:
    """Particles of the test or validation part of division `k`, shape (P,)."""
    held: NDArray[np.bool_] = (part == k) | (part == (k + 1) % PARTS)
    return held


def _flat(showers: Features) -> Features:
    """Showers of several particles in one column, shape (n, D)."""
    return showers.reshape(-1, showers.shape[-1])


class NeuralSeparation:
    """Neural classifiers of generated against simulated and of simulated against simulated showers."""

    def __init__(
        self,
        simulated: NDArray[np.float32],
        generated: NDArray[np.float32],
        ways: list[Way],
        floors: list[Way],
        seed: int,
    ) -> None:
        """Train on two repeats against two, one division in five parts per way.

        Parameters
        ----------
        simulated, generated : Columns `classifier.FEATURES`, shapes (P, R, F) and (P, G, F).
        """
        conditions = _conditions(simulated)
        real, made = (
            np.concatenate([side, np.repeat(conditions[:, None], side.shape[1], axis=1)], axis=2)
            for side in physics_features(simulated, generated)
        )
        self._model = [NeuralScores(real[:, list(a)], made[:, list(b)], seed) for a, b in ways]
        self._floor = [NeuralScores(real[:, list(a)], real[:, list(b)], seed) for a, b in floors]

    def resampled(self, particles: NDArray[np.intp], draws: NDArray[np.intp]) -> dict[str, Resampled]:
        """AUC and Jensen-Shannon divergence of a group, averaged over the ways; no training for resamples."""
        pair = ClassifierScores([found.scores for found in self._model], [found.scores for found in self._floor])
        model = np.mean([found.information[particles] for found in self._model], axis=0)
        floors = [found.information[particles] for found in self._floor]
        floor = np.mean(floors, axis=0) if floors else np.full_like(model, np.nan)
        divergence = Resampled(
            float(model.mean()),
            float(floor.mean()),
            mean_over_particles(model, draws),
            mean_over_particles(floor, draws),
        )
        return {"neural_auc": pair.resampled(particles, draws), "neural_jsd": divergence}


def _conditions(features: NDArray[np.float32]) -> Features:
    """Conditions in standard deviations, with the logarithm of the energy; shape (P, 9)."""
    columns = features[:, 0, -len(CONDITIONS) :].astype(np.float64)
    columns[:, ENERGY] = np.log(columns[:, ENERGY])
    deviation = columns.std(axis=0)
    scaled: Features = (columns - columns.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    return scaled
