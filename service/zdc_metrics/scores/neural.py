"""A neural classifier following the protocol of the CaloChallenge (Krause et al., arXiv:2410.21611).

Showers are divided 60/20/20 into training, validation and test, here by particle. A small network is kept from the
epoch with the smallest validation loss and is calibrated on the validation part by isotonic regression. AUC and
Jensen-Shannon divergence are computed on the test part. Five such divisions test every particle once.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits
from zdc_detector.particles import CONDITIONS, ENERGY

from zdc_metrics.scores.classifier import ClassifierScores, HeldOutScores
from zdc_metrics.scores.physics import physics_features
from zdc_metrics.statistics.bootstrap import Resampled, mean_over_particles
from zdc_metrics.statistics.splits import Way

#: Number of parts: one is the test part, the next one the validation part.
PARTS = 5
_HIDDEN = (64, 64)
_EPOCHS = 30
_BATCH = 64

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
        for k in range(PARTS):
            test, validation = part == k, part == (k + 1) % PARTS
            training = ~(test | validation)
            if not (test.any() and validation.any() and training.any()):
                scored[test], calibrated[test] = -1, np.nan
                continue
            truth = np.tile(label, int(validation.sum()))
            known = both[validation].reshape(len(truth), -1)
            with threadpool_limits(limits=1):
                network = _best(both[training], label, known, truth, seed)
                raw[test] = _probability(network, both[test].reshape(-1, both.shape[2])).reshape(-1, 2 * repeats)
                # Rule of succession: n showers of one kind give a probability of at most (n + 1) / (n + 2).
                least = 1 / (len(truth) + 2)
                curve = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip")
                curve.fit(_probability(network, known), truth)
                calibrated[test] = curve.predict(raw[test].ravel()).reshape(-1, 2 * repeats)
        self.scores = HeldOutScores(raw[:, :repeats], raw[:, repeats:], scored)
        right = np.where(label, calibrated, 1 - calibrated)
        self.information = 1 + np.log2(right).mean(axis=1)


def _best(showers: Features, label: NDArray[np.int64], known: Features, truth: NDArray[np.int64], seed: int
          ) -> MLPClassifier:  # fmt: skip
    """The network of the epoch with the smallest loss on `known`."""
    flat, labels = showers.reshape(-1, showers.shape[2]), np.tile(label, len(showers))
    network = MLPClassifier(
        _HIDDEN, batch_size=min(_BATCH, len(flat)), learning_rate_init=1e-3, alpha=1e-3, random_state=seed
    )
    least, kept = np.inf, None
    for _ in range(_EPOCHS):
        network.partial_fit(flat, labels, classes=[0, 1])
        probability = np.clip(_probability(network, known), 1e-6, 1 - 1e-6)
        loss = -np.log(np.where(truth == 1, probability, 1 - probability)).mean()
        if loss < least:
            least = loss
            kept = [array.copy() for array in network.coefs_], [array.copy() for array in network.intercepts_]
    if kept is not None:
        network.coefs_, network.intercepts_ = kept
    return network


def _probability(network: MLPClassifier, rows: Features) -> NDArray[np.float64]:
    probability: NDArray[np.float64] = network.predict_proba(rows)[:, 1]
    return probability


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
