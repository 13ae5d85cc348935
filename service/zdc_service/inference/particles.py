"""Particles from rows of nine conditions, which may come without a PDG code."""

import math
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from zdc_detector.card import ModelCard
from zdc_detector.errors import InvalidInputError, OutOfRangeError, ZdcError
from zdc_detector.particles import (
    CHARGE,
    CONDITIONS,
    ENERGY,
    ENERGY_TOLERANCE,
    KINEMATICS,
    MASS,
    MASS_TOLERANCE,
    Particles,
    mass_and_charge,
)

_KINEMATICS = [CONDITIONS.index(name) for name in KINEMATICS]

#: How far what a caller gives may be from what follows from the PDG code, relative to the latter.
_TOLERANCE = np.zeros(len(CONDITIONS), dtype=np.float32)
_TOLERANCE[ENERGY], _TOLERANCE[MASS] = ENERGY_TOLERANCE, MASS_TOLERANCE

#: Masses [MeV] closer than this are one, so that photons without mass are found.
_SAME_MASS = 1e-3


def read_particles(card: ModelCard, conditions: NDArray[np.float32], pdg: NDArray[np.int64] | None) -> Particles:
    """Particles of a request, checked as those of every other protocol.

    Parameters
    ----------
    card : Of the model that simulates them.
    conditions : Columns `CONDITIONS` in their units, shape (N, 9).
    pdg : Codes, shape (N,); None looks each particle up among the model's species by mass and charge (`species_of`).

    Raises
    ------
    InvalidInputError, OutOfRangeError : As `Particles.from_columns` and `species_of`.
    """
    if not len(conditions):
        raise InvalidInputError("no particles; send at least one")
    codes = species_of(card, conditions) if pdg is None else pdg.copy()  # compiled code takes arrays of its own
    with suppress(ZdcError):  # explained below
        particles = Particles.from_rows(codes, conditions.take(_KINEMATICS, axis=1))
        derived = particles.conditions
        if (np.abs(conditions - derived) <= _TOLERANCE * derived).all():
            return particles
    columns = {name: conditions[:, i] for i, name in enumerate(CONDITIONS)}
    return Particles.from_columns({"pdg": codes, **columns})


def species_of(card: ModelCard, conditions: NDArray[np.float32]) -> NDArray[np.int64]:
    """PDG codes by mass and charge: the species of the card with that charge and the nearest mass.

    Where several have the same mass (K0S and K0L, neutron and antineutron) it is the first of the card's list. To a
    model that takes no ``pdg`` they are one and the same; only the energies it was trained on may differ.

    Raises
    ------
    InvalidInputError : no species of the card is within 2 % of a particle's mass and has its charge.
    """
    species = card.ranges.species
    table = np.array([_mass_and_charge(one.pdg) for one in species])
    mass, charge = conditions[:, MASS, None].astype(np.float64), conditions[:, CHARGE, None]
    off = np.abs(mass - table[:, 0])
    off[off <= _SAME_MASS] = 0.0
    off[~((off <= MASS_TOLERANCE * table[:, 0]) & (charge == table[:, 1]))] = np.inf
    nearest = off.argmin(axis=1)
    found = np.isfinite(off[np.arange(len(off)), nearest])
    if not found.all():
        row = int(np.argmin(found))
        known = ", ".join(f"{one.name} {m:.6g} MeV {c:+g} e" for one, (m, c) in zip(species, table, strict=True))
        raise InvalidInputError(
            f"particle[{row}]: mass = {conditions[row, MASS]:g} MeV and charge = {conditions[row, CHARGE]:g} e are of "
            f"no species of the model ({known}); send those, or the input pdg"
        )
    codes: NDArray[np.int64] = np.array([one.pdg for one in species], dtype=np.int64)[nearest]
    return codes


def _mass_and_charge(pdg: int) -> tuple[float, float]:
    try:
        return mass_and_charge(pdg)
    except OutOfRangeError:  # a species of its own kind, which a caller must name
        return math.nan, math.nan
