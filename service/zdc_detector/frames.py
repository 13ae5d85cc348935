"""The frame of a particle: where its position and its momentum are given."""

from enum import StrEnum

import numpy as np
from zdc_common.errors import InvalidInputError
from zdc_common.words import counted

from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import CHARGE, PZ, VX, VZ, Particles

#: Largest accepted difference of a given vz from the face [cm]. Over 1 mm, an angle of 5 mrad moves a particle by 5 um.
FACE_TOLERANCE = 0.1


class Frame(StrEnum):
    """Where positions and momenta are given.

    ``vertex``: at the production vertex. ``face``: at the plane of the face, as a full simulation has them there.

    In both frames a particle has the nine conditions of `zdc_detector.particles`. A particle at the face is a special
    case: its vz is `Calorimeter.face_z` (-face_z if it flies to -z), so vx and vy are its impact point.
    """

    VERTEX = "vertex"
    FACE = "face"


def placed_at_face(particles: Particles, calorimeter: Calorimeter) -> Particles:
    """Particles that are given at the face, with their vz filled in.

    Parameters
    ----------
    particles : N particles. Their vz is 0, which counts as not given, or that of the face.

    Raises
    ------
    InvalidInputError : a given vz is not at the face.
    """
    vz = particles.conditions[:, VZ]
    plane = np.copysign(np.float32(calorimeter.face_plane), particles.conditions[:, PZ])
    wrong = (vz != 0) & ~(np.abs(vz - plane) <= FACE_TOLERANCE)
    if wrong.any():
        row = int(np.argmax(wrong))
        more = int(np.count_nonzero(wrong)) - 1
        also = f" (and {counted(more, 'more row')})" if more else ""
        raise InvalidInputError(
            f"particle[{row}]: vz = {vz[row]:.7g} cm contradicts frame = face: the face of {calorimeter.name} is at "
            f"{plane[row]:.7g} cm for this particle; leave vz out, or give the particle at its vertex with frame = "
            f"vertex{also}"
        )
    if (vz == plane).all():
        return particles
    conditions = particles.conditions.copy()
    conditions[:, VZ] = plane
    return Particles(particles.pdg, conditions)


def carried_to_face(particles: Particles, calorimeter: Calorimeter) -> Particles:
    """Neutral particles from a vertex, moved along their straight line to the face if they hit it, and all others.

    Parameters
    ----------
    particles : N particles that fly to +z.
    """
    conditions = particles.conditions
    moved = calorimeter.hits_face(conditions) & ~calorimeter.at_face(conditions) & (conditions[:, CHARGE] == 0)
    if not moved.any():
        return particles
    conditions = conditions.copy()
    conditions[moved, VX:VZ] = calorimeter.impact_points(conditions[moved]) + calorimeter.centre
    conditions[moved, VZ] = calorimeter.face_plane
    return Particles(particles.pdg, conditions)
