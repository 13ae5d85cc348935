"""The columns of particles that a client sends to a server."""

import numpy as np
from numpy.typing import NDArray
from zdc_detector.particles import CHARGE, CONDITIONS, KINEMATICS, MASS, Particles
from zdc_detector.pdg_table import look_up


def columns_to_send(particles: Particles) -> dict[str, NDArray[np.generic]]:
    """``pdg``, momenta and vertices; mass and charge too if a code is not in the PDG table.

    The server derives the rest with `Particles.from_columns`, and so gets the same nine numbers.
    """
    columns: dict[str, NDArray[np.generic]] = {"pdg": particles.pdg}
    names = [CONDITIONS.index(name) for name in KINEMATICS]
    if not look_up(particles.pdg)[1].all():
        names += [MASS, CHARGE]
    return columns | {CONDITIONS[i]: np.ascontiguousarray(particles.conditions[:, i]) for i in names}
