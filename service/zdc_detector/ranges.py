"""The ranges on which a model was trained: species, energies, vertices, and positions and slopes at the face."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from zdc_common.frozen import Frozen

from zdc_detector.calorimeter import Calorimeter
from zdc_detector.frames import Frame, carried_to_face
from zdc_detector.particles import CHARGE, CONDITIONS, ENERGY, PX, PZ, VX, VY, VZ, Particles

#: Ranges of a model by their number in the result of `Ranges.outside`; 0 is inside all of them.
RANGES = ("", "species", "energy", "vertex", "frame", "position", "slope")
SPECIES, FRAME = RANGES.index("species"), RANGES.index("frame")
#: Reasons for which a model can say nothing about a particle, so that it cannot extrapolate to it.
UNKNOWN = (SPECIES, FRAME)

Bounds = tuple[float, float]

_SWEPT_AWAY = "magnets sweep a charged particle away between its vertex and the face"


class SpeciesRange(Frozen):
    """Range of total energy [GeV] in the training of a species."""

    pdg: int = Field(description="PDG Monte Carlo code")
    name: str = Field(description="name of the species, e.g. `n`")
    energy: Bounds = Field(description="lowest and highest total energy [GeV]")


class FaceRange(Frozen):
    """Training range of particles that are given at the face, for particles that fly to +z."""

    position: tuple[Bounds, Bounds] = Field(description="lower and upper bound of x and y at the face [cm]")
    slope: tuple[Bounds, Bounds] = Field(description="lower and upper bound of px/pz and py/pz at the face")


class Ranges(Frozen):
    """Training range of the model; for other energies, vertices, positions and slopes it extrapolates.

    Attributes
    ----------
    species : Species and their energies.
    vertex : Lower and upper bound of vx, vy and vz [cm], for particles from a vertex that fly to +z.
    frames : Frames of the training showers. A model that was trained at the face only gets neutral particles from a
        vertex where their straight line meets the face.
    face : Positions and slopes of particles at the face; None unless `frames` has ``face``.
    """

    species: tuple[SpeciesRange, ...] = Field(min_length=1, description="species and their energies")
    vertex: tuple[Bounds, Bounds, Bounds] = Field(
        description="lower and upper bound of vx, vy and vz [cm], for particles from a vertex that fly to +z"
    )
    frames: tuple[Frame, ...] = Field(
        (Frame.VERTEX,),
        min_length=1,
        description="frames of the training showers: `vertex`, `face`. A model that was trained at the face only gets "
        "neutral particles from a vertex where their straight line meets the face",
    )
    face: FaceRange | None = Field(
        None, description="positions and slopes of particles at the face; null unless `frames` has `face`"
    )

    @model_validator(mode="after")
    def _frames_fit(self) -> "Ranges":
        if (self.face is not None) != (Frame.FACE in self.frames):
            raise ValueError(f"frames = {', '.join(self.frames)}, but face is {'' if self.face else 'not '}given")
        return self

    @cached_property
    def _arrays(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Codes (S,), bounds of energies (S, 2), of the vertex (3, 2), and at the face of x, y and two slopes (4, 2).

        Bounds are rounded to float32 as the conditions are, so that a vertex of 0.1 cm is inside a bound of 0.1 cm.
        Without a range at the face, the last array has no rows.
        """
        codes = np.array([species.pdg for species in self.species], dtype=np.int64)
        energies = np.array([species.energy for species in self.species], dtype=np.float32)
        face = [] if self.face is None else [*self.face.position, *self.face.slope]
        at_face = np.array(face, dtype=np.float32).reshape(-1, 2).astype(np.float64)
        # The quotient of two float32 numbers may be rounded away from the bound.
        at_face[2:] += np.abs(at_face[2:]).max(axis=1, initial=0.0, keepdims=True) * np.array([-1e-6, 1e-6])
        vertex = np.array(self.vertex, dtype=np.float32).astype(np.float64)
        return codes, energies.astype(np.float64), vertex, at_face

    def outside(self, particles: Particles, calorimeter: Calorimeter) -> NDArray[np.uint8]:
        """The range that each particle exceeds: index into `RANGES`, 0 if inside, uint8, shape (N,).

        Particles with pz < 0 are mirrored to +z first. Those with the vz of the face are at the face.
        """
        from zdc_detector.kernels import range_rows

        reasons = np.empty(len(particles), dtype=np.uint8)
        range_rows(particles.pdg, particles.conditions, *self._arrays, calorimeter.face_plane, reasons)
        return reasons

    def aimed(self, particles: Particles, calorimeter: Calorimeter) -> Particles:
        """The particles as the model sees them: those with pz < 0 mirrored to +z.

        If the model was trained at the face only, neutral particles from a vertex are carried to the face.
        """
        aimed = particles.toward_a()
        return aimed if Frame.VERTEX in self.frames else carried_to_face(aimed, calorimeter)

    def message(self, particles: Particles, row: int, calorimeter: Calorimeter) -> str:
        """Message for a particle that is `outside`: its value, the bound and a possible cause."""
        particle = particles[row : row + 1].toward_a()
        code, conditions = int(particle.pdg[0]), particle.conditions[0].astype(np.float64)
        codes, energies, vertex, at_face = self._arrays
        from_vertex = not calorimeter.at_face(particle.conditions)[0]
        if code not in codes:
            names = ", ".join(f"{known.pdg} ({known.name})" for known in self.species)
            swept = f"; {_SWEPT_AWAY}" if conditions[CHARGE] and from_vertex else ""
            return f"species: pdg {code} was not in the training set; it has {names}{swept}"
        name = self.species[codes.tolist().index(code)].name
        if from_vertex and conditions[CHARGE]:
            return f"frame: vz = {particles.conditions[row, VZ]:g} cm of {name} is not at the face: {_SWEPT_AWAY}"
        if not from_vertex and self.face is None:
            sent = particles.conditions[row, VZ]
            return f"frame: vz = {sent:.7g} cm of {name} is at the face: the model was trained on vertices only"
        low, high = energies[codes.tolist().index(code)]
        if not low <= conditions[ENERGY] <= high:
            return (
                f"energy: {_outside(conditions[ENERGY], low, high, ' GeV')} of {name}; energies are "
                "in GeV, did you send MeV?"
            )
        if from_vertex:
            return _vertex_message(conditions, particles.conditions[row], vertex)
        return _face_message(conditions, at_face)


def _vertex_message(mirrored: NDArray[np.float64], sent: NDArray[np.float32], vertex: NDArray[np.float64]) -> str:
    values = mirrored[[VX, VY, VZ]]
    axis = int(np.argmax((values < vertex[:, 0]) | (values > vertex[:, 1])))
    low, high = vertex[axis]
    value = float(sent[VX + axis])
    if value != values[axis]:  # pz < 0: the bounds are mirrored
        low, high = -high, -low
    text = _outside(value, low, high, " cm")
    return f"vertex: {CONDITIONS[VX + axis]} = {text}; vertices are in cm, did you send mm?"


def _face_message(conditions: NDArray[np.float64], bounds: NDArray[np.float64]) -> str:
    values = np.concatenate([conditions[VX:VZ], conditions[PX:PZ] / conditions[PZ]])
    axis = int(np.argmax((values < bounds[:, 0]) | (values > bounds[:, 1])))
    low, high = bounds[axis]
    if axis < 2:
        name = CONDITIONS[VX + axis]
        return f"position: {name} = {_outside(values[axis], low, high, ' cm')} at the face; did you send mm?"
    return f"slope: {CONDITIONS[PX + axis - 2]}/|pz| = {_outside(values[axis], low, high, '')} at the face"


def _outside(value: float, low: float, high: float, unit: str) -> str:
    """Message for a value outside its range, with enough digits to show the difference."""
    digits = 6 if not float(f"{low:.6g}") <= float(f"{value:.6g}") <= float(f"{high:.6g}") else 9
    low_text, high_text = f"{low:.{digits}g}", f"{high:.{digits}g}"
    return f"{value:.{digits}g}{unit} is outside the trained range [{low_text}, {high_text}]{unit}"
