"""Masses and charges of the PDG table (scikit-hep ``particle``), for one code or for an array of codes."""

from functools import cache, lru_cache
from typing import SupportsFloat

import numpy as np
from numpy.typing import NDArray
from particle import Particle as PdgEntry
from zdc_common.errors import OutOfRangeError

_NEUTRINOS = (12, 14, 16)
#: Codes of nuclei are +-10LZZZAAAI.
_FIRST_NUCLEUS = 1_000_000_000
#: Ion codes of single nucleons, as generators of heavy ions write them, and the codes of these nucleons.
_NUCLEONS = {1_000_000_010: 2112, 1_000_010_010: 2212, -1_000_000_010: -2112, -1_000_010_010: -2212}


@lru_cache(maxsize=4096)
def mass_and_charge(pdg: int) -> tuple[float, float]:
    """Mass [MeV] and charge [e] of a PDG code.

    Raises
    ------
    OutOfRangeError : the code is not in the PDG table or has no mass there.
    """
    entry = _entries().get(_NUCLEONS.get(pdg, pdg))
    if entry is None:
        raise OutOfRangeError(f"pdg {pdg} is not in the PDG table")
    found = _mass_and_charge(pdg, entry)
    if found is None:
        raise OutOfRangeError(f"pdg {pdg} has no mass or charge in the PDG table")
    return found


@cache
def pdg_table() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """All codes with mass and charge, ascending, shape (S,), and mass [MeV] and charge [e] of each, shape (S, 2)."""
    found = {code: _mass_and_charge(code, entry) for code, entry in sorted(_entries().items())}
    known = {code: values for code, values in found.items() if values is not None}
    return np.array(list(known), dtype=np.int64), np.array(list(known.values()))


def look_up(pdg: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Mass [MeV] and charge [e] of N codes, shape (N, 2), and which codes are in the table, shape (N,)."""
    codes, values = pdg_table()
    pdg = as_nucleons(pdg)
    place = np.minimum(np.searchsorted(codes, pdg), len(codes) - 1)
    return values[place], codes[place] == pdg


def as_nucleons(pdg: NDArray[np.int64]) -> NDArray[np.int64]:
    """The codes, shape (N,), with ion codes of single nucleons replaced; the same array if there are none."""
    alone = np.isin(pdg, list(_NUCLEONS))
    if not alone.any():
        return pdg
    pdg = pdg.copy()
    pdg[alone] = [_NUCLEONS[code] for code in pdg[alone].tolist()]
    return pdg


@cache
def _entries() -> dict[int, PdgEntry]:
    return {int(entry.pdgid): entry for entry in PdgEntry.all() if int(entry.pdgid) not in _NUCLEONS}


def _mass_and_charge(pdg: int, entry: PdgEntry) -> tuple[float, float] | None:
    mass = 0.0 if abs(pdg) in _NEUTRINOS else entry.mass  # the table has only upper limits for neutrinos
    if abs(pdg) >= _FIRST_NUCLEUS:  # faster than `entry.charge`, which parses the digits
        protons = float(abs(pdg) // 10_000 % 1000)
        charge: SupportsFloat | None = protons if pdg > 0 else -protons
    else:
        charge = entry.charge
    return None if mass is None or charge is None else (float(mass), float(charge))
