"""PDG codes from mass and charge, for files without codes; every guess is noted."""

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import FileFormatError
from zdc_detector.mass_shell import masses_agree
from zdc_detector.particles import CHARGE, MASS, species_name
from zdc_detector.pdg_table import mass_and_charge

#: Species, and others with the same mass and charge, which the file cannot distinguish. Only species that live long
#: enough to reach a calorimeter.
_INFERRED: dict[int, tuple[int, ...]] = {
    22: (12, -12, 14, -14, 16, -16),
    2112: (-2112,),
    130: (310, 311, -311),
    3122: (-3122,),
    3322: (-3322,),
    11: (),
    -11: (),
    13: (),
    -13: (),
    211: (),
    -211: (),
    321: (),
    -321: (),
    2212: (),
    -2212: (),
    3222: (-3112,),
    3112: (-3222,),
    3312: (),
    -3312: (),
    3334: (),
    -3334: (),
}
#: Relative; Sigma+ and Sigma- differ by 0.7 %.
_MASS_MATCH = 0.003


def infer_pdg(conditions: NDArray[np.float32]) -> tuple[NDArray[np.int64], list[str]]:
    """PDG codes from mass and charge, and a note for each species.

    Raises
    ------
    FileFormatError : no species has this mass and charge; names the row.
    """
    table = np.array([mass_and_charge(code) for code in _INFERRED])
    pairs, first, place = np.unique(conditions[:, [MASS, CHARGE]], axis=0, return_index=True, return_inverse=True)
    codes = np.zeros(len(pairs), dtype=np.int64)
    notes = []
    for i, (mass, charge) in enumerate(pairs.astype(np.float64)):
        fits = masses_agree(mass, table[:, 0], _MASS_MATCH) & (table[:, 1] == charge)
        if not fits.any():
            raise FileFormatError(
                f"row {first[i]}: no particle has mass {mass:g} MeV and charge {charge:g} e; masses are in MeV, "
                "charges in e (not |e|/3); for other species add a column pdg"
            )
        codes[i] = list(_INFERRED)[int(np.argmax(fits))]
        notes.append(_note(int(codes[i]), mass, charge, int((np.ravel(place) == i).sum())))
    return codes[np.ravel(place)], notes


def _note(code: int, mass: float, charge: float, rows: int) -> str:
    guess = (
        f"there is no column pdg: {rows} rows with mass {mass:g} MeV and charge {charge:g} e were taken as "
        f"{species_name(code)} ({code})"
    )
    others = ", ".join(f"{species_name(other)} ({other})" for other in _INFERRED[code])
    return f"{guess}; equal mass and charge: {others}. Add a column pdg if some are those" if others else guess


def looks_like_pdg(values: NDArray[np.generic], conditions: NDArray[np.float32]) -> bool:
    """Whether every value of a column is the PDG code of a particle with the row's mass and charge."""
    try:
        numbers = values.astype(np.float64)
    except (TypeError, ValueError):
        return False
    if not len(numbers) or not (np.isfinite(numbers) & (numbers == np.rint(numbers))).all():
        return False
    rows = np.unique(np.column_stack([numbers, conditions[:, [MASS, CHARGE]]]), axis=0)
    known = {code: mass_and_charge(code) for code in _every_code()}
    return all(
        int(code) in known and masses_agree(mass, known[int(code)][0], _MASS_MATCH) and known[int(code)][1] == charge
        for code, mass, charge in rows
    )


def _every_code() -> list[int]:
    return [code for guess, others in _INFERRED.items() for code in (guess, *others)]
