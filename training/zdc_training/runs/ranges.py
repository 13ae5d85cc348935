"""Trained ranges of species, energies, vertices, and positions and slopes at the face, for the model card."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from particle import Particle as PdgEntry
from zdc_detector.frames import Frame
from zdc_detector.particles import ENERGY, PX, PZ, VX, VZ, by_frequency
from zdc_detector.ranges import Bounds, FaceRange, Ranges, SpeciesRange
from zdc_detector.showers import Showers

#: Bounds at the face are multiples of these: of positions [cm], and of slopes.
_POSITION_STEP, _SLOPE_STEP = 0.05, 1e-4

#: With `cell` scaling, the vertex acts through the impact point (and slightly through vz, in the trained range): 1 cm
#: across and 100 cm along the beam change the angle by at most 0.1 mrad, 0.1 mm over the depth of the calorimeter.
_VERTEX = ((-1.0, 1.0), (-1.0, 1.0), (-100.0, 100.0))


def trained_ranges(training: Showers, scaling: str) -> Ranges:
    """Species, most frequent first, their energies (rounded outward to two digits), frames, and valid vertices.

    Showers of both frames have one table of species and energies. If all are at the face, the vertices are those from
    which a straight line to the face is as good as a particle at the face.

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
    conditions = particles.toward_a().conditions.astype(np.float64)
    at_face = training.calorimeter.at_face(particles.conditions)
    frames = [Frame.VERTEX] if not at_face.all() else []
    face = None
    if at_face.any():
        frames.append(Frame.FACE)
        there = conditions[at_face]
        slopes = there[:, PX:PZ] / there[:, PZ, None]
        face = FaceRange(position=_outward(there[:, VX:VZ], _POSITION_STEP), slope=_outward(slopes, _SLOPE_STEP))
    vertex = _VERTEX
    if scaling != "cell" and not at_face.all():
        x, y, z = ((float(column.min()), float(column.max())) for column in conditions[~at_face, VX : VZ + 1].T)
        vertex = (x, y, z)
    return Ranges(species=tuple(species), vertex=vertex, frames=tuple(frames), face=face)


def _outward(columns: NDArray[np.float64], step: float) -> tuple[Bounds, Bounds]:
    """Least and greatest value of two columns, shape (N, 2), rounded outward to multiples of a step."""
    low = [math.floor(value / step) * step for value in columns.min(axis=0).tolist()]
    high = [math.ceil(value / step) * step for value in columns.max(axis=0).tolist()]
    x, y = ((round(a, 9), round(b, 9)) for a, b in zip(low, high, strict=True))
    return x, y


def _two_digits(value: float, rounding: Callable[[float], int]) -> float:
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return rounding(value / unit) * unit
