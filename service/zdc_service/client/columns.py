"""Which columns of particles travel to a server."""

import numpy as np
from numpy.typing import NDArray
from zdc_detector.errors import OutOfRangeError
from zdc_detector.particles import CHARGE, CONDITIONS, KINEMATICS, MASS, Particles, mass_and_charge


def columns_to_send(particles: Particles) -> dict[str, NDArray[np.generic]]:
    """``pdg``, momenta and vertices; mass and charge where the server's PDG table cannot fill them in.

    The server derives the rest as `Particles.from_columns` does, hence the same nine numbers.
    """
    columns: dict[str, NDArray[np.generic]] = {"pdg": particles.pdg}
    names = [CONDITIONS.index(name) for name in KINEMATICS]
    if not all(_in_table(int(code)) for code in np.unique(particles.pdg)):
        names += [MASS, CHARGE]
    return columns | {CONDITIONS[i]: np.ascontiguousarray(particles.conditions[:, i]) for i in names}


def _in_table(pdg: int) -> bool:
    try:
        mass_and_charge(pdg)
    except OutOfRangeError:
        return False
    return True
