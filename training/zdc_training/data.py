"""Reading showers for training: splits by particle, never by row."""

from pathlib import Path

import numpy as np
from zdc_detector.errors import ConfigError
from zdc_detector.random import SPLIT_STREAM, raw_words
from zdc_detector.showers import Showers, read_showers


def load_split(path: Path, validation_share: float, seed: int) -> tuple[Showers, Showers]:
    """Read a file and split it into training and validation showers.

    Raises
    ------
    FileFormatError : the file cannot be read or holds rows that cannot be showers.
    ConfigError : see `split_by_particle`.
    """
    return split_by_particle(read_showers(path), validation_share, seed)


def split_by_particle(showers: Showers, validation_share: float, seed: int) -> tuple[Showers, Showers]:
    """Split into training and validation showers so that no particle is in both.

    The choice is a function of the seed and the particle ids alone, on every machine and with every version of
    numpy: particles are ordered by a Philox word each, and the first ones are for validation.

    Parameters
    ----------
    validation_share : Share of the particles, in (0, 1).
    seed : 0 <= seed < 2**53.

    Raises
    ------
    ConfigError : the share is outside (0, 1) or leaves a side without particles.
    """
    ids = np.unique(showers.particle_id)
    count = round(validation_share * len(ids)) if 0 < validation_share < 1 else 0
    if not 0 < count < len(ids):
        raise ConfigError(
            f"validation_share = {validation_share:g} of {len(ids)} particles must leave at least one for validation "
            "and one for training; choose a larger or smaller share in (0, 1)"
        )
    words = raw_words(seed, SPLIT_STREAM, 0, len(ids), 1)[:, 0]
    chosen = np.isin(showers.particle_id, ids[np.argsort(words, kind="stable")[:count]])
    return showers[~chosen], showers[chosen]
