"""From the project's particles to what Geant4 shoots."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import InvalidInputError, OutOfRangeError
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import CHARGE, MASS, VX, VZ, Particles, species_name

MM_PER_CM = 10.0
#: Particles that are given at the face start this far before it [mm].
START = 0.1


@dataclass(frozen=True)
class Primary:
    """One particle to shoot.

    Attributes
    ----------
    pdg : PDG code.
    kinetic_energy : [MeV].
    position : x, y, z [mm]; z = 0 is the face, and x = y = 0 its centre.
    direction : Unit vector.
    """

    pdg: int
    kinetic_energy: float
    position: tuple[float, float, float]
    direction: tuple[float, float, float]


def primaries(particles: Particles, calorimeter: Calorimeter) -> list[Primary]:
    """What Geant4 shoots for each particle; particles with pz < 0 are mirrored.

    Parameters
    ----------
    particles : Particles at the face (vz = face_z), or neutral ones before it.

    Raises
    ------
    InvalidInputError : a particle is behind the face.
    OutOfRangeError : a charged particle is before the face; the magnets between it and the face are not simulated.
    """
    particles = particles.toward_a()
    conditions = particles.conditions.astype(np.float64)
    to_face = calorimeter.face_plane - conditions[:, VZ]
    _check(particles, conditions, to_face)
    momentum = conditions[:, 4:7]
    size = np.sqrt(np.sum(momentum**2, axis=1))
    mass = conditions[:, MASS] * 1e-3
    # Without the cancellation of sqrt(p^2 + m^2) - m for slow particles.
    kinetic = 1e3 * size**2 / (np.sqrt(size**2 + mass**2) + mass)
    direction = momentum / size[:, None]
    centre = np.array([*calorimeter.centre, 0.0])
    position = MM_PER_CM * (np.column_stack([conditions[:, VX : VX + 2], -to_face]) - centre)
    at_face = to_face <= 0
    position[at_face] -= direction[at_face] * (START / direction[at_face, 2:])
    return [
        Primary(int(code), float(energy), _triple(place), _triple(along))
        for code, energy, place, along in zip(particles.pdg, kinetic, position, direction, strict=True)
    ]


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = values.tolist()
    return x, y, z


def _check(particles: Particles, conditions: NDArray[np.float64], to_face: NDArray[np.float64]) -> None:
    for row in np.flatnonzero(to_face < 0)[:1]:
        raise InvalidInputError(
            f"particle[{row}]: vz = {conditions[row, VZ]:g} cm is {-to_face[row]:g} cm behind the face; leave it out"
        )
    for row in np.flatnonzero((to_face > 0) & (conditions[:, CHARGE] != 0))[:1]:
        raise OutOfRangeError(
            f"particle[{row}]: {species_name(int(particles.pdg[row]))} has the charge {conditions[row, CHARGE]:g} e "
            f"and starts {to_face[row]:g} cm before the face, and the magnets between are not simulated; give charged "
            "particles at the face"
        )
