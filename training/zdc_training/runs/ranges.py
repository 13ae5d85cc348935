"""Trained ranges of species, energies and vertices, for the model card."""

import math
from collections.abc import Callable

import numpy as np
from particle import Particle as PdgEntry
from zdc_detector.particles import ENERGY, VX, VZ, by_frequency
from zdc_detector.ranges import Ranges, SpeciesRange
from zdc_detector.showers import Showers

#: With `cell` scaling, the vertex acts through the impact point (and slightly through vz, in the trained range): 1 cm
#: across and 100 cm along the beam change the angle by at most 0.1 mrad, 0.1 mm over the depth of the calorimeter.
_VERTEX = ((-1.0, 1.0), (-1.0, 1.0), (-100.0, 100.0))


def trained_ranges(training: Showers, scaling: str) -> Ranges:
    """Species, most frequent first, their energies (rounded outward to two digits), and valid vertices.

    Parameters
    ----------
    scaling : Scaling of the conditions, see `zdc_training.nn.geometry.ConditionScaler`.
    """
    particles = training.particles
    species = []
    for code in by_frequency(particles.pdg)[0]:
        energy = particles.conditions[particles.pdg == code, ENERGY].astype(np.float64)
        low, high = _two_digits(energy.min(), math.floor), _two_digits(energy.max(), math.ceil)
        species.append(SpeciesRange(pdg=int(code), name=PdgEntry.from_pdgid(int(code)).name, energy=(low, high)))
    if scaling == "cell":
        return Ranges(species=tuple(species), vertex=_VERTEX)
    vertices = particles.conditions[:, VX : VZ + 1].astype(np.float64)
    x, y, z = ((float(column.min()), float(column.max())) for column in vertices.T)
    return Ranges(species=tuple(species), vertex=(x, y, z))


def _two_digits(value: float, rounding: Callable[[float], int]) -> float:
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return rounding(value / unit) * unit
