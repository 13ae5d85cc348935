"""Showers grouped by particle: each particle with its repeated simulations."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import InvalidInputError
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import Particles
from zdc_detector.showers import Showers


@dataclass(frozen=True)
class RepeatedShowers:
    """P particles, each simulated R times.

    Attributes
    ----------
    particles : P particles.
    responses : Photons per fibre, uint16, shape (P, R, rows, columns).
    particle_id : int64, shape (P,), ascending.
    calorimeter : The calorimeter of the responses.
    """

    particles: Particles
    responses: NDArray[np.uint16]
    particle_id: NDArray[np.int64]
    calorimeter: Calorimeter


def by_particle(showers: Showers) -> RepeatedShowers:
    """Group rows by `particle_id`; the repeats keep the order of the rows.

    Raises
    ------
    InvalidInputError : the particles have different numbers of repeats; the message names one particle.
    """
    ids, first, counts = np.unique(showers.particle_id, return_index=True, return_counts=True)
    repeats = int(counts[0]) if len(counts) else 0
    uneven = counts != repeats
    if uneven.any():
        odd = int(np.argmax(uneven))
        raise InvalidInputError(
            f"particle_id {ids[odd]} has {counts[odd]} simulations, particle_id {ids[0]} has {repeats}; "
            "keep the same number for every particle"
        )
    order = np.argsort(showers.particle_id, kind="stable")
    responses = showers.responses[order].reshape(len(ids), repeats, *showers.calorimeter.shape)
    return RepeatedShowers(showers.particles[first], responses, ids, showers.calorimeter)
