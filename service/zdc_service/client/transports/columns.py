"""Which columns of particles travel to a server."""

import numpy as np
from numpy.typing import NDArray
from zdc_detector.particles import CHARGE, CONDITIONS, KINEMATICS, MASS, Particles
from zdc_detector.pdg_table import look_up


def columns_to_send(particles: Particles) -> dict[str, NDArray[np.generic]]:
    """``pdg``, momenta and vertices; mass and charge where the server's PDG table cannot fill them in.

    The server derives the rest as `Particles.from_columns` does, hence the same nine numbers.
    """
    columns: dict[str, NDArray[np.generic]] = {"pdg": particles.pdg}
    names = [CONDITIONS.index(name) for name in KINEMATICS]
    if not look_up(particles.pdg)[1].all():
        names += [MASS, CHARGE]
    return columns | {CONDITIONS[i]: np.ascontiguousarray(particles.conditions[:, i]) for i in names}
