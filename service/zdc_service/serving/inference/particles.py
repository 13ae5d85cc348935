"""Particles from rows of nine conditions, which may come without a PDG code."""

from contextlib import suppress
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import InvalidInputError, OutOfRangeError, ZdcError
from zdc_detector.card import ModelCard
from zdc_detector.mass_shell import ENERGY_TOLERANCE, MASS_ROUNDING, MASS_TOLERANCE, mass_margin
from zdc_detector.particles import (
    CHARGE,
    CONDITIONS,
    ENERGY,
    KINEMATICS,
    MASS,
    Particles,
)
from zdc_detector.pdg_table import mass_and_charge

_KINEMATICS = [CONDITIONS.index(name) for name in KINEMATICS]

#: How far what a caller gives may be from what follows from the PDG code, relative to the latter.
_TOLERANCE = np.zeros(len(CONDITIONS), dtype=np.float32)
_TOLERANCE[ENERGY], _TOLERANCE[MASS] = ENERGY_TOLERANCE, MASS_TOLERANCE

#: Makes species of another charge further away than any mass.
_ANOTHER_CHARGE = 1e12


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
    codes, masses, charges, tolerances = _species_table(tuple(one.pdg for one in species))
    off = np.abs(conditions[:, MASS, None] - masses)
    off += _ANOTHER_CHARGE * np.abs(conditions[:, CHARGE, None] - charges)
    nearest = off.argmin(axis=1)
    found = off.min(axis=1) <= tolerances[nearest]
    if not found.all():
        row = int(np.argmin(found))
        known = ", ".join(
            f"{one.name} {mass:.6g} MeV {charge:+g} e"
            for one, mass, charge in zip(species, masses, charges, strict=True)
        )
        raise InvalidInputError(
            f"particle[{row}]: mass = {conditions[row, MASS]:g} MeV and charge = {conditions[row, CHARGE]:g} e are of "
            f"no species of the model ({known}); send those, or the input pdg"
        )
    found_codes: NDArray[np.int64] = codes[nearest]
    return found_codes


@lru_cache
def _species_table(
    pdg: tuple[int, ...],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Codes, masses [MeV], charges [e] and by how much a mass may be off, each of shape (S,).

    Masses that are the same but for rounding are one, so that the first of their species is the nearest.
    """
    table: list[tuple[float, float]] = []
    for code in pdg:
        try:
            mass, charge = mass_and_charge(code)
        except OutOfRangeError:  # a species of the model's own, which a caller must name
            mass, charge = np.inf, 0.0
        same = (m for m, c in table if c == charge and abs(m - mass) <= MASS_ROUNDING)
        table.append((next(same, mass), charge))
    masses, charges = np.array(table).T
    tolerances = np.where(np.isinf(masses), -1.0, mass_margin(masses))
    return np.array(pdg, dtype=np.int64), masses, charges, tolerances
