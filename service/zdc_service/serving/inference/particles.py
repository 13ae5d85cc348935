"""Converts rows of nine conditions, with or without PDG codes, to particles."""

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

#: Relative tolerance between the given conditions and those that follow from the PDG code.
_TOLERANCE = np.zeros(len(CONDITIONS), dtype=np.float32)
_TOLERANCE[ENERGY], _TOLERANCE[MASS] = ENERGY_TOLERANCE, MASS_TOLERANCE

#: Weight of a charge difference [e] compared with a mass difference [MeV]: larger than any mass.
_ANOTHER_CHARGE = 1e12


def read_particles(card: ModelCard, conditions: NDArray[np.float32], pdg: NDArray[np.int64] | None) -> Particles:
    """The particles of a request, with the same checks as for every other protocol.

    Parameters
    ----------
    card : Card of the model that simulates them.
    conditions : Columns `CONDITIONS` in their units, shape (N, 9).
    pdg : PDG codes, shape (N,); None: find each particle's species by mass and charge (`species_of`).

    Raises
    ------
    InvalidInputError, OutOfRangeError : Raised by `Particles.from_columns` and `species_of`.
    """
    if not len(conditions):
        raise InvalidInputError("no particles; send at least one")
    codes = species_of(card, conditions) if pdg is None else pdg.copy()  # compiled code needs a writeable array
    with suppress(ZdcError):  # from_columns below raises an error that names the row
        particles = Particles.from_rows(codes, conditions.take(_KINEMATICS, axis=1))
        derived = particles.conditions
        if (np.abs(conditions - derived) <= _TOLERANCE * derived).all():
            return particles
    columns = {name: conditions[:, i] for i, name in enumerate(CONDITIONS)}
    return Particles.from_columns({"pdg": codes, **columns})


def species_of(card: ModelCard, conditions: NDArray[np.float32]) -> NDArray[np.int64]:
    """PDG codes by mass and charge: the species of the card with the same charge and the nearest mass.

    If several species have the same mass (K0S and K0L, neutron and antineutron), the first in the card's list is taken.
    A model without the input ``pdg`` cannot distinguish them; only their trained energies may differ.

    Raises
    ------
    InvalidInputError : no species of the card has a particle's charge and a mass within 2 % of the particle's mass.
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
            f"particle[{row}]: mass = {conditions[row, MASS]:g} MeV and charge = {conditions[row, CHARGE]:g} e match "
            f"no species of the model ({known}); send the values of a species, or the input pdg"
        )
    found_codes: NDArray[np.int64] = codes[nearest]
    return found_codes


@lru_cache
def _species_table(
    pdg: tuple[int, ...],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Codes, masses [MeV], charges [e] and tolerances of the masses [MeV], each of shape (S,).

    Masses that differ only by rounding are made equal, so that the first of these species is the nearest.
    """
    table: list[tuple[float, float]] = []
    for code in pdg:
        try:
            mass, charge = mass_and_charge(code)
        except OutOfRangeError:  # not in the PDG table: clients must send its PDG code
            mass, charge = np.inf, 0.0
        same = (m for m, c in table if c == charge and abs(m - mass) <= MASS_ROUNDING)
        table.append((next(same, mass), charge))
    masses, charges = np.array(table).T
    tolerances = np.where(np.isinf(masses), -1.0, mass_margin(masses))
    return np.array(pdg, dtype=np.int64), masses, charges, tolerances
