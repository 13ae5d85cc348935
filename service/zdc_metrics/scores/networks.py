"""Small neural classifiers, several of which are trained at the same time.

They are those of scikit-learn's `MLPClassifier` (ReLU, Adam, L2), trained by `partial_fit` for each epoch, and give the
same numbers except for rounding. For a small network, a step of scikit-learn takes longer than its arithmetic; here all
networks make each step together.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

_HIDDEN = (64, 64)
_BATCH = 64
_STEP, _DECAY, _FIRST, _SECOND, _EPSILON = 1e-3, 1e-3, 0.9, 0.999, 1e-8

Floats = NDArray[np.float64]


class Networks:
    """K networks with two hidden layers and one output, the probability of label 1.

    Attributes
    ----------
    weights : All weights, shape (K, W); a copy of a row keeps the state of a network.
    """

    def __init__(self, rows: Floats, labels: NDArray[np.int64], seed: int) -> None:
        """Draw the first weights.

        Parameters
        ----------
        rows : Training rows of each network, shape (K, N, features).
        labels : 0 or 1, shape (N,), the same for all networks.
        seed : Of the first weights and of the order of the rows, the same for all networks.
        """
        self._rows, self._labels = rows, labels.astype(np.float64)[:, None]
        self._seed, self._random = seed, np.random.RandomState(seed)
        sizes = (rows.shape[2], *_HIDDEN, 1)
        self._shapes = list(pairwise(sizes))
        drawn = []
        for inputs, outputs in self._shapes:
            bound = np.sqrt(6 / (inputs + outputs))
            drawn += [
                self._random.uniform(-bound, bound, inputs * outputs),
                self._random.uniform(-bound, bound, outputs),
            ]
        self.weights: Floats = np.tile(np.concatenate(drawn), (len(rows), 1))
        self._layers = self._layers_of(self.weights)
        self._slopes = np.zeros_like(self.weights)
        self._slopes_of_layers = self._layers_of(self._slopes)
        self._mean, self._square = np.zeros_like(self.weights), np.zeros_like(self.weights)
        self._steps = 0

    def train(self) -> None:
        """Train for one epoch: every row once, in random order; as in `partial_fit`, equal from the second epoch on."""
        order = np.arange(len(self._labels))
        self._random.shuffle(order)
        self._random.seed(self._seed)
        size = min(_BATCH, len(order))
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            self._find_slopes(self._rows[:, chosen], self._labels[chosen])
            self._move()

    def probability(self, rows: Floats, weights: Floats) -> Floats:
        """Probability of label 1 by the network of these weights.

        Parameters
        ----------
        rows : Shape (M, features).
        weights : A row of `weights`, now or after an earlier epoch, shape (W,).

        Returns
        -------
        Shape (M,).
        """
        for place, (matrix, offset) in enumerate(self._layers_of(weights[None])):
            rows = rows @ matrix[0] + offset[0]
            if place < len(_HIDDEN):
                np.maximum(rows, 0, out=rows)
        result: Floats = expit(rows[:, 0])
        return result

    def _layers_of(self, weights: Floats) -> list[tuple[Floats, Floats]]:
        """Views of the matrices, shapes (K, inputs, outputs), and of the offsets, shapes (K, 1, outputs)."""
        views, start = [], 0
        for inputs, outputs in self._shapes:
            middle = start + inputs * outputs
            matrix = weights[:, start:middle].reshape(len(weights), inputs, outputs)
            start = middle + outputs
            views.append((matrix, weights[:, None, middle:start]))
        return views

    def _find_slopes(self, rows: Floats, labels: Floats) -> None:
        """Derivatives of the mean cross entropy of a batch with the penalty of large matrices."""
        values = [rows]
        for place, (matrix, offset) in enumerate(self._layers):
            after = values[-1] @ matrix
            after += offset
            values.append(np.maximum(after, 0, out=after) if place < len(_HIDDEN) else expit(after, out=after))
        error = values.pop() - labels
        for place in range(len(self._layers) - 1, -1, -1):
            matrix = self._layers[place][0]
            slope, slope_of_offset = self._slopes_of_layers[place]
            np.matmul(values[place].transpose(0, 2, 1), error, out=slope)
            slope += _DECAY * matrix
            slope /= len(labels)
            slope_of_offset[:] = error.sum(axis=1, keepdims=True) / len(labels)
            if place:
                error = error @ matrix.transpose(0, 2, 1)
                error *= values[place] > 0

    def _move(self) -> None:
        """One step of Adam (Kingma and Ba, arXiv:1412.6980)."""
        self._steps += 1
        self._mean *= _FIRST
        self._mean += (1 - _FIRST) * self._slopes
        self._square *= _SECOND
        self._square += (1 - _SECOND) * self._slopes**2
        step = _STEP * np.sqrt(1 - _SECOND**self._steps) / (1 - _FIRST**self._steps)
        self.weights -= step * self._mean / (np.sqrt(self._square) + _EPSILON)
