"""The ALICE collaboration's files in the project's layout (`train-zdc convert`).

Their format: responses in an npz (``arr_0``, (N, 44, 44)), particles in an npz (``arr_0``) or a pickled pandas
table, with the columns Energy, Vx, Vy, Vz, Px, Py, Pz, mass, charge and sometimes pdg [GeV, cm, GeV/c, MeV, e]. Few
particles, each simulated many times.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray
from zdc_detector.calorimeter import ZN, Calorimeter
from zdc_detector.checks import Columns, find_problems, particle_numbers
from zdc_detector.errors import FileFormatError
from zdc_detector.particles import CHARGE, CONDITIONS, MASS, Particles, mass_and_charge, species_name
from zdc_detector.showers import ShowerWriter

#: The collaboration drops responses with a smaller photon sum.
MINIMUM_PHOTONS = 10

#: For files without PDG codes: species -> others of equal mass and charge, which the file cannot tell from it.
#: Only species that live long enough to reach a calorimeter.
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
_BLOCK = 2000


@dataclass(frozen=True)
class Conversion:
    """What `convert` did.

    Attributes
    ----------
    rows, dropped, particles : Rows read, rows dropped by the photon sum, distinct particles written.
    notes : What a user should know about how the PDG codes were found.
    """

    output: Path
    rows: int
    dropped: int
    particles: int
    minimum_photons: int
    notes: tuple[str, ...]

    def __str__(self) -> str:
        kept = f"{self.rows - self.dropped} of {self.rows} showers of {self.particles} particles to {self.output}"
        lines = [f"wrote {kept}", f"dropped {self.dropped} with a photon sum below {self.minimum_photons}"]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def convert(
    particles: Path,
    responses: Path,
    output: Path,
    *,
    minimum_photons: int = MINIMUM_PHOTONS,
    allow_pickle: bool = False,
    calorimeter: Calorimeter = ZN,
) -> Conversion:
    """Read the collaboration's two files and write one in the project's layout.

    Parameters
    ----------
    particles : npz, or pkl with `allow_pickle`.
    responses : npz, or npy.
    output : HDF5; appears whole or not at all.
    minimum_photons : Rows with a smaller photon sum are dropped; 0 keeps them all.
    allow_pickle : Reading a pickle runs whatever code is in it: only for files whose origin is known.

    Raises
    ------
    FileFormatError : a file cannot be read, or the rows cannot be showers; names the first bad row.
    """
    images = _array(responses, allow_pickle)
    conditions, pdg = _particle_columns(particles, allow_pickle)
    notes: list[str] = []
    if pdg is None:
        pdg, notes = infer_pdg(conditions)
    columns: dict[str, NDArray[np.generic]] = {"particles": conditions, "pdg": pdg, "responses": images}
    columns["particle_id"] = particle_numbers(conditions, pdg)
    problems = find_problems(Columns(columns, calorimeter.name), calorimeter)
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise FileFormatError(f"{particles} and {responses} cannot be converted:\n{listed}")
    kept = images.sum(axis=(1, 2), dtype=np.float64) >= minimum_photons
    if not kept.any():
        raise FileFormatError(f"{responses}: no photon sum reaches {minimum_photons}; keep all rows with 0")
    particle_id = particle_numbers(conditions[kept], pdg[kept])
    attributes: dict[str, str | int] = {
        "source": f"{particles.name}, {responses.name}",
        "minimum_photons": minimum_photons,
    }
    with ShowerWriter(output, calorimeter, f"converted from {responses.name}", attributes) as writer:
        rows = np.flatnonzero(kept)
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            counts = images[block].astype(np.uint16)
            writer.append(Particles(pdg[block], conditions[block]), counts, particle_id[start : start + _BLOCK])
    return Conversion(output, len(kept), int((~kept).sum()), int(particle_id.max()) + 1, minimum_photons, tuple(notes))


def infer_pdg(conditions: NDArray[np.float32]) -> tuple[NDArray[np.int64], list[str]]:
    """PDG codes from mass and charge, with a note for each species that others share mass and charge with.

    Raises
    ------
    FileFormatError : a mass and charge that fit no species; names the row.
    """
    table = np.array([mass_and_charge(code) for code in _INFERRED])
    pairs, first, place = np.unique(conditions[:, [MASS, CHARGE]], axis=0, return_index=True, return_inverse=True)
    codes = np.zeros(len(pairs), dtype=np.int64)
    notes = []
    for i, (mass, charge) in enumerate(pairs.astype(np.float64)):
        fits = (np.abs(table[:, 0] - mass) <= _MASS_MATCH * table[:, 0] + 1e-3) & (table[:, 1] == charge)
        if not fits.any():
            raise FileFormatError(
                f"row {first[i]}: no particle has mass {mass:g} MeV and charge {charge:g} e; masses are in MeV, "
                "charges in e (not |e|/3); for other species add a column pdg"
            )
        codes[i] = list(_INFERRED)[int(np.argmax(fits))]
        others = _INFERRED[int(codes[i])]
        if others:
            names = ", ".join(f"{species_name(code)} ({code})" for code in others)
            notes.append(
                f"{int((np.ravel(place) == i).sum())} rows with mass {mass:g} MeV and charge {charge:g} e were taken "
                f"as {species_name(int(codes[i]))} ({codes[i]}); equal mass and charge: {names}"
            )
    return codes[np.ravel(place)], notes


def _array(path: Path, allow_pickle: bool) -> NDArray[Any]:
    """The one array of an npz or npy file."""
    try:
        loaded = np.load(path, allow_pickle=allow_pickle)
        if isinstance(loaded, np.ndarray):
            return loaded
        if not isinstance(loaded, NpzFile):
            raise FileFormatError(f"{path}: holds a {type(loaded).__name__}; it needs an npz or npy array")
        with loaded:
            names = loaded.files
            if "arr_0" not in names and len(names) != 1:
                raise FileFormatError(f"{path}: has the arrays {names}; it needs arr_0, or one array")
            array: NDArray[Any] = loaded["arr_0" if "arr_0" in names else names[0]]
            return array
    except (OSError, ValueError, EOFError) as error:
        if "allow_pickle" in str(error):
            raise _pickle_refused(path) from error
        raise FileFormatError(f"{path}: cannot be read as npz or npy: {error}") from error


def _pickle_refused(path: Path) -> FileFormatError:
    return FileFormatError(
        f"{path}: is a pickle, and reading a pickle runs whatever code is in it; pass --allow-pickle if you know where "
        "the file comes from, or save its numbers with numpy.savez"
    )


def _particle_columns(path: Path, allow_pickle: bool) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
    if path.suffix in (".pkl", ".pickle"):
        if not allow_pickle:
            raise _pickle_refused(path)
        return _by_name(path, _pickled_table(path))
    array = _array(path, allow_pickle)
    if array.dtype.names:
        return _by_name(path, {name: array[name] for name in array.dtype.names})
    if array.ndim != 2 or array.shape[1] not in (len(CONDITIONS), len(CONDITIONS) + 1):
        raise FileFormatError(
            f"{path}: particles have shape {array.shape}; they need the columns {', '.join(CONDITIONS)} and perhaps pdg"
        )
    return _by_name(path, {name: array[:, i] for i, name in enumerate((*CONDITIONS, "pdg")[: array.shape[1]])})


def _pickled_table(path: Path) -> dict[str, NDArray[Any]]:
    try:
        import pandas as pd
    except ImportError as error:
        raise FileFormatError(f"{path}: a pickled table needs pandas; pip install pandas") from error
    try:
        table = pd.read_pickle(path)
    except Exception as error:  # a damaged pickle may raise anything
        raise FileFormatError(f"{path}: cannot be read as a pickle: {error}") from error
    if not isinstance(table, pd.DataFrame):
        raise FileFormatError(f"{path}: holds a {type(table).__name__}; it needs a pandas table")
    return {str(name): np.asarray(table[name]) for name in table.columns}


def _by_name(path: Path, columns: Mapping[str, NDArray[Any]]) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
    found = {name.strip().lower(): values for name, values in columns.items()}
    missing = [name for name in CONDITIONS if name not in found]
    if missing:
        raise FileFormatError(f"{path}: has the columns {', '.join(columns)}; {', '.join(missing)} are missing")
    try:
        conditions = np.column_stack([found[name].astype(np.float32) for name in CONDITIONS])
        pdg = None if "pdg" not in found else found["pdg"].astype(np.float64)
    except (TypeError, ValueError) as error:
        raise FileFormatError(f"{path}: a column does not hold numbers: {error}") from error
    if pdg is None:
        return conditions, None
    wrong = ~np.isfinite(pdg) | (pdg != np.rint(pdg))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise FileFormatError(f"{path}: row {row}: pdg = {pdg[row]:g} is not an integer PDG code")
    return conditions, pdg.astype(np.int64)
