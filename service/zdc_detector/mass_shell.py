"""The relation E^2 = p^2 + m^2, and how well a particle's given mass and energy must agree with it.

`zdc_detector.kernels.condition_rows` computes the same energy for many particles at once.
"""

import numpy as np
from numpy.typing import NDArray

#: Relative differences that are accepted. Generators carry masses rounded to 4 or 5 digits; wrong units, which the
#: checks must find, are factors of 1000.
MASS_TOLERANCE = 0.02
ENERGY_TOLERANCE = 0.01

#: Accepted in addition [MeV]: rounding, of a massless particle too.
MASS_ROUNDING = 1e-3


def total_energy(momentum: NDArray[np.float64], mass: NDArray[np.float64]) -> NDArray[np.float64]:
    """Total energy sqrt(p^2 + m^2) [GeV], shape (N,).

    Parameters
    ----------
    momentum : px, py, pz [GeV/c], shape (N, 3).
    mass : [MeV], shape (N,).
    """
    energy: NDArray[np.float64] = np.sqrt(np.sum(momentum**2, axis=1) + (mass * 1e-3) ** 2)
    return energy


def mass_margin(mass: NDArray[np.float64] | float, tolerance: float = MASS_TOLERANCE) -> NDArray[np.float64]:
    """Largest accepted difference from a mass [MeV], in its shape; `tolerance` is relative."""
    return tolerance * np.asarray(mass) + MASS_ROUNDING


def masses_agree(
    given: NDArray[np.float64] | float, mass: NDArray[np.float64] | float, tolerance: float = MASS_TOLERANCE
) -> NDArray[np.bool_]:
    """Whether given masses [MeV] are those of the PDG table; False if either is nan. Shapes broadcast."""
    agree: NDArray[np.bool_] = np.abs(np.subtract(given, mass)) <= mass_margin(mass, tolerance)
    return agree


def energies_agree(given: NDArray[np.float64], energy: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether given energies [GeV] are those of `total_energy`; False if either is nan. Shapes broadcast."""
    agree: NDArray[np.bool_] = np.abs(given - energy) <= ENERGY_TOLERANCE * energy
    return agree
