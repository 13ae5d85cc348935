"""Reading showers for training, with a split by particle and never by row."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import ConfigError
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.checks import particle_numbers
from zdc_detector.particles import CONDITIONS, KINEMATICS, Particles
from zdc_detector.random import SPLIT_STREAM, raw_words
from zdc_detector.showers import Showers, read_showers

from zdc_training.config.config import data_path
from zdc_training.config.sections import DataConfig


def load_split(config: DataConfig) -> tuple[Showers, Showers]:
    """Read the training file and split it into training and validation showers.

    Particles that fly to -z are mirrored (vz and pz change sign): the networks are trained for one side.

    Raises
    ------
    FileFormatError : the file cannot be read or has invalid rows.
    ConfigError : there is no such file, or see `split_by_particle`.
    """
    showers = read_showers(data_path(config.train))
    showers = replace(showers, particles=showers.particles.toward_a(), particle_id=same_particles(showers))
    return split_by_particle(showers, config.validation_share, config.split_seed, config.limit)


def same_particles(showers: Showers) -> NDArray[np.int64]:
    """Particle ids, shape (N,), with one id for all rows of the same particle.

    Particles are the same if species, momentum and vertex are equal in float32, after mirroring to +z; the sign of a
    zero and the energy do not matter. If the file has several ids for a particle, the smallest is used.
    """
    number = kinematic_numbers(showers.particles)
    smallest = np.full(int(number.max()) + 1, np.iinfo(np.int64).max, dtype=np.int64)
    np.minimum.at(smallest, number, showers.particle_id)
    return smallest[number]


def kinematic_numbers(particles: Particles) -> NDArray[np.int64]:
    """Numbers of the distinct particles, see `same_particles`, from 0 in the order of their first rows, shape (N,)."""
    kinematics = particles.toward_a().conditions[:, [CONDITIONS.index(name) for name in KINEMATICS]]
    return particle_numbers(kinematics + np.float32(0), particles.pdg)  # -0 is 0


def check_unseen(train: Path, test: Path) -> None:
    """Raise ConfigError if the test file has a particle of the training file (names the row), or another calorimeter.

    Raises
    ------
    FileFormatError : a file cannot be read.
    """
    files = [read_showers(path) for path in (test, train)]
    check_calorimeter(f"{train} holds showers", files[1].calorimeter, test, files[0].calorimeter)
    held, training = (showers.particles for showers in files)
    number = kinematic_numbers(Particles.concatenate([held, training]))
    seen = np.isin(number[: len(held)], number[len(held) :])
    if seen.any():
        raise ConfigError(
            f"{test}: row {int(np.argmax(seen))} and {int(seen.sum()) - 1} more are of particles that "
            f"{train} holds too; figures of merit need particles that were not trained on: "
            "divide one file by `train-zdc split`"
        )


def check_calorimeter(subject: str, mine: Calorimeter, test: Path, theirs: Calorimeter) -> None:
    """Raise ConfigError if a test file is of another calorimeter than the subject, e.g. ``zn.h5 holds showers``."""
    difference = mine.difference(theirs)
    if difference:
        raise ConfigError(
            f"{test}: holds showers of {theirs.name}, {subject} of {mine.name}: the calorimeters differ in "
            f"{difference}; use a test file of the same calorimeter"
        )


def split_by_particle(
    showers: Showers, validation_share: float, seed: int, limit: int | None = None, stream: int = SPLIT_STREAM
) -> tuple[Showers, Showers]:
    """Split into training and validation showers so that no particle is in both.

    The split depends only on the seed and the particle ids, on every machine and with every version of numpy. Each
    particle has a random Philox word; the particles with the smallest words are for validation. A `limit` keeps the
    training showers that follow in this order: a random sample, a larger one contains a smaller one, and the validation
    showers stay the same.

    Parameters
    ----------
    validation_share : Share of the particles, in (0, 1).
    seed : 0 <= seed < 2**53.
    limit : Largest number of training showers; None keeps all.
    stream : Stream of random numbers; another stream gives another split.

    Raises
    ------
    ConfigError : the share is outside (0, 1) or leaves a side without particles.
    """
    ids, particle = np.unique(showers.particle_id, return_inverse=True)
    count = round(validation_share * len(ids)) if 0 < validation_share < 1 else 0
    if not 0 < count < len(ids):
        raise ConfigError(
            f"validation_share = {validation_share:g} of {len(ids)} particles must leave at least one for validation "
            "and one for training; choose a larger or smaller share in (0, 1)"
        )
    words = raw_words(seed, stream, 0, len(ids), 1)[:, 0]
    place = np.empty(len(ids), dtype=np.intp)
    place[np.argsort(words, kind="stable")] = np.arange(len(ids))
    drawn = place[np.ravel(particle)]
    training = np.flatnonzero(drawn >= count)
    if limit is not None:
        training = np.sort(training[np.argsort(drawn[training], kind="stable")[:limit]])
    return showers[training], showers[drawn < count]
