"""Geant4 responses that are shipped with the service, to compare generated responses with.

``geant4_examples.npz`` has the 300 test particles, each simulated five times, in the layout of
`zdc_detector.packed_showers`; training/data/README.md says how it is made.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from zdc_detector.packed_showers import read_packed
from zdc_detector.particles import ENERGY, VZ
from zdc_detector.showers import Showers
from zdc_detector.symmetries import NAMES, symmetries_of, turn_points, turn_responses

EXAMPLES_FILE = Path(__file__).with_name("geant4_examples.npz")
SOURCE = "simulated with Geant4 on ALICE's ZN geometry; not the ALICE data set (zdc-fastsim developers, CC BY 4.0)"

#: A particle is near if hypot(ln(energy ratio) / ln(NEAR_ENERGY_RATIO), distance / NEAR_CM) <= 1.
NEAR_ENERGY_RATIO, NEAR_CM = 1.25, 1.0

#: Name of the identity on the page.
_UNTURNED = "none"


@dataclass(frozen=True)
class Nearest:
    """The test particle nearest to a requested one, after a symmetry of the face, with its responses.

    Attributes
    ----------
    index : Index of the particle in the file.
    pdg, energy : Species, and total energy [GeV].
    point : Point where its straight line meets the face, after the symmetry [cm from the centre of the face].
    vz : Its vertex along the beam [cm]; its distance from the beam is less than 0.1 mm.
    turn : Name of the symmetry of the face that was applied to the particle and its images.
    energy_ratio : Its energy divided by the requested energy.
    distance_cm : Distance between the two points on the face.
    on_face : Whether the requested point is on the face; all Geant4 particles hit the face.
    responses : Photons of each fibre after the symmetry, uint16, shape (5, rows, columns).
    """

    index: int
    pdg: int
    energy: float
    point: tuple[float, float]
    vz: float
    turn: str
    energy_ratio: float
    distance_cm: float
    on_face: bool
    responses: NDArray[np.uint16]

    @property
    def near(self) -> bool:
        """Whether the particles are close enough for a comparison."""
        return self.on_face and distance(self.energy_ratio, self.distance_cm) <= 1.0


def distance(energy_ratio: float, cm: float) -> float:
    """Distance between two particles of one species, in energy and on the face; above 1 they are not near."""
    return math.hypot(math.log(energy_ratio) / math.log(NEAR_ENERGY_RATIO), cm / NEAR_CM)


class Examples:
    """Test particles with their Geant4 responses."""

    def __init__(self, showers: Showers):
        """Use some showers; the rows of a particle must be consecutive, and all particles must have the same number."""
        ids, first = np.unique(showers.particle_id, return_index=True)
        self.calorimeter = showers.calorimeter
        self.particles = showers.particles[np.sort(first)]
        self.points = self.calorimeter.impact_points(self.particles.conditions)
        self._responses = showers.responses.reshape(len(ids), -1, *self.calorimeter.shape)
        self._symmetries = symmetries_of(self.calorimeter)

    def nearest(self, pdg: int, energy: float, point: tuple[float, float]) -> Nearest | None:
        """The nearest particle of a species; None if there is no particle of this species.

        Parameters
        ----------
        pdg : PDG code of the species.
        energy : Total energy [GeV], above 0.
        point : Point where the particle's straight line meets the face [cm from the centre of the face].
        """
        (same,) = np.nonzero(self.particles.pdg == pdg)
        if not len(same):
            return None
        energies = self.particles.conditions[same, ENERGY].astype(np.float64)
        in_energy = np.log(energies / energy) / math.log(NEAR_ENERGY_RATIO)
        best = (math.inf, 0, 0)
        for symmetry in self._symmetries:
            away = turn_points(self.points[same], symmetry) - np.array(point)
            far = np.hypot(in_energy, np.hypot(*away.T) / NEAR_CM)
            row = int(np.argmin(far))
            if far[row] < best[0] - 1e-9:  # apply a symmetry only if it brings a particle nearer
                best = (float(far[row]), symmetry, row)
        _, symmetry, row = best
        index = int(same[row])
        x, y = turn_points(self.points[index : index + 1], symmetry)[0]
        return Nearest(
            index=index,
            pdg=pdg,
            energy=float(energies[row]),
            point=(float(x), float(y)),
            vz=float(self.particles.conditions[index, VZ]),
            turn=NAMES[symmetry] if symmetry else _UNTURNED,
            energy_ratio=float(energies[row] / energy),
            distance_cm=math.hypot(x - point[0], y - point[1]),
            on_face=all(abs(at) < half for at, half in zip(point, self.calorimeter.half_width, strict=True)),
            responses=turn_responses(self._responses[index], symmetry),
        )


@lru_cache(maxsize=1)
def shipped_examples() -> Examples:
    """The examples in the package."""
    return Examples(read_packed(EXAMPLES_FILE))
