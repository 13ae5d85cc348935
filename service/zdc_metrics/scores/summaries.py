"""Channel sums, photon sums and features of responses, computed in blocks for all figures."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import InvalidInputError
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import Particles

from zdc_metrics.scores.classifier import shower_features

#: Number of responses in a block, which limits the memory: a few copies of 8 kB for each response.
_BLOCK = 2000


@dataclass(frozen=True)
class Summary:
    """Sums and features of P particles with R responses each.

    Attributes
    ----------
    channels : Channel sums [photons], int64, shape (P, R, C).
    sums : Photon sums, int64, shape (P, R).
    features : Columns `classifier.FEATURES`, float32, shape (P, R, F).
    """

    channels: NDArray[np.int64]
    sums: NDArray[np.int64]
    features: NDArray[np.float32]


def summarise(responses: NDArray[np.generic], particles: Particles, calorimeter: Calorimeter, name: str) -> Summary:
    """Sums and features of responses of P particles, integers of shape (P, R, rows, columns).

    Raises
    ------
    InvalidInputError : wrong shapes, or rates instead of counts; the message calls the responses `name`.
    """
    _check(responses, name, particles, calorimeter)
    count, repeats = responses.shape[:2]
    flat = responses.reshape(-1, *calorimeter.shape)
    row_of = np.repeat(np.arange(count), repeats)
    channels, sums, features = [], [], []
    for start in range(0, max(len(flat), 1), _BLOCK):
        block = flat[start : start + _BLOCK]
        channels.append(calorimeter.channel_sums(block).astype(np.int64))
        sums.append(block.sum(axis=(1, 2), dtype=np.int64))
        features.append(shower_features(block, particles.conditions[row_of[start : start + _BLOCK]], calorimeter))
    return Summary(*(np.concatenate(parts).reshape(count, repeats, *parts[0].shape[1:])
                     for parts in (channels, sums, features)))  # fmt: skip


def _check(responses: NDArray[np.generic], name: str, particles: Particles, calorimeter: Calorimeter) -> None:
    if responses.ndim != 4 or len(responses) != len(particles) or responses.shape[2:] != calorimeter.shape:
        raise InvalidInputError(
            f"{name} responses have shape {responses.shape}; they need ({len(particles)}, repeats, "
            f"{calorimeter.shape[0]}, {calorimeter.shape[1]}): one row a particle, use by_particle"
        )
    if not np.issubdtype(responses.dtype, np.integer):
        raise InvalidInputError(f"{name} responses are {responses.dtype}; finish the rates to integer counts first")
