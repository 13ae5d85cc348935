"""Reading the ALICE collaboration's files: arrays and tables in npz, npy and pickle files."""

import pickle
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray
from zdc_common.errors import FileFormatError
from zdc_detector.particles import CONDITIONS

from zdc_training.data.species import infer_pdg, looks_like_pdg

#: Other names of a column, in lower case, without spaces and punctuation.
_ALIASES: dict[str, tuple[str, ...]] = {
    "energy": ("e",),
    "mass": ("m",),
    "charge": ("q",),
    "pdg": ("pdgid", "pdgcode", "pdgmc", "mcpdg", "pid", "pdgencoding"),
}
_BINARY = b"P", b"\x93", b"\x80"  # first bytes of npz, npy and pickle files
_SHOWN = 12  # columns in a message


@dataclass(frozen=True)
class ParticleColumns:
    """The particles of a file.

    Attributes
    ----------
    conditions : Shape (N, 9).
    pdg : Shape (N,).
    notes : Guesses, and columns that were not read.
    """

    conditions: NDArray[np.float32]
    pdg: NDArray[np.int64]
    notes: tuple[str, ...]


def read_particles(path: Path, allow_pickle: bool) -> ParticleColumns:
    """Read the particles of a file.

    Raises
    ------
    FileFormatError : the file cannot be read, a column is missing, is there twice or has no numbers, or the species
        are ambiguous.
    """
    if path.suffix in (".pkl", ".pickle"):
        if not allow_pickle:
            raise _pickle_refused(path)
        return _by_name(path, _pickled_table(path))
    array = read_array(path, allow_pickle, ("particles", "arr_0"), 2)
    if array.dtype.names:
        return _by_name(path, {name: np.ravel(array[name]) for name in array.dtype.names})
    return _by_name(path, _in_order(path, array))


def read_array(path: Path, allow_pickle: bool, names: tuple[str, ...], dimensions: int) -> NDArray[Any]:
    """An array of an npz, npy or pickle file.

    Parameters
    ----------
    names : Possible names of the array in an npz file; with a single array, its name does not matter.
    dimensions : Dimensions of the array; selects one if several arrays have these names.

    Raises
    ------
    FileFormatError : the file cannot be read, or has no such array.
    """
    if not path.is_file():
        raise FileFormatError(f"{path}: no such file")
    try:
        with path.open("rb") as file:  # numpy does not close a damaged archive
            loaded = np.load(file, allow_pickle=allow_pickle)
            if isinstance(loaded, np.ndarray):
                return loaded
            if not isinstance(loaded, NpzFile):
                raise FileFormatError(f"{path}: holds a {type(loaded).__name__}; it needs an npz or npy array")
            found = [name for name in names if name in loaded.files] or loaded.files[: len(loaded.files) == 1]
            if not found:
                raise FileFormatError(f"{path}: has the arrays {loaded.files}; it needs {' or '.join(names)}")
            arrays: list[NDArray[Any]] = [loaded[name] for name in found]
            return next((array for array in arrays if array.ndim == dimensions), arrays[0])
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise FileFormatError(f"{path}: is damaged or cut short: {error}; copy it again") from error
    except (OSError, ValueError, KeyError, pickle.UnpicklingError) as error:
        if "allow_pickle" in str(error):
            with path.open("rb") as file:
                if path.suffix not in (".pkl", ".pickle") and not file.read(1).startswith(_BINARY):
                    raise FileFormatError(
                        f"{path}: is not an npz, npy or pickle file; save its numbers with numpy.savez"
                    ) from error
            raise _pickle_refused(path) from error
        raise FileFormatError(f"{path}: cannot be read as npz or npy: {error}; copy or save it again") from error


def _pickle_refused(path: Path) -> FileFormatError:
    return FileFormatError(
        f"{path}: is a pickle, and reading a pickle runs whatever code is in it; pass --allow-pickle if you know where "
        "the file comes from, or save its numbers with numpy.savez"
    )


def _pickled_table(path: Path) -> Mapping[str, NDArray[Any]]:
    try:
        import pandas as pd
    except ImportError as error:
        raise FileFormatError(f"{path}: a pickled table needs pandas; pip install pandas") from error
    try:
        table = pd.read_pickle(path)
    except Exception as error:  # a damaged pickle may raise anything
        raise FileFormatError(f"{path}: cannot be read as a pickle: {error}; copy it again") from error
    if isinstance(table, np.ndarray):
        return _in_order(path, table)
    if not isinstance(table, pd.DataFrame):
        raise FileFormatError(f"{path}: holds a {type(table).__name__}; it needs a pandas table")
    if all(isinstance(name, int) for name in table.columns):
        return _in_order(path, table.to_numpy())
    return {str(name): table.iloc[:, i].to_numpy() for i, name in enumerate(table.columns)}


def _in_order(path: Path, array: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Columns of an array without names, in the usual order."""
    if array.ndim != 2 or array.shape[1] not in (len(CONDITIONS), len(CONDITIONS) + 1):
        raise FileFormatError(
            f"{path}: particles have shape {array.shape}; they need the columns {', '.join(CONDITIONS)} and perhaps pdg"
        )
    return {name: array[:, i] for i, name in enumerate((*CONDITIONS, "pdg")[: array.shape[1]])}


def _by_name(path: Path, columns: Mapping[str, NDArray[Any]]) -> ParticleColumns:
    known, unknown = _recognised(path, columns)
    missing = [name for name in CONDITIONS if name not in known]
    if missing:
        raise FileFormatError(f"{path}: has the columns {_listed(columns)}; {', '.join(missing)} are missing")
    try:
        conditions = np.column_stack([columns[known[name]].astype(np.float32) for name in CONDITIONS])
        pdg = columns[known["pdg"]].astype(np.float64) if "pdg" in known else None
    except (TypeError, ValueError) as error:
        raise FileFormatError(f"{path}: a column does not hold numbers: {error}") from error
    notes = [f"columns that are not read: {_listed(unknown)}"] if unknown else []
    if pdg is None:
        likely = [name for name in unknown if looks_like_pdg(columns[name], conditions)]
        if likely:
            raise FileFormatError(
                f"{path}: there is no column pdg, but column {likely[0]!r} holds PDG codes; call it pdg, or remove it "
                "to have the species guessed from the masses"
            )
        codes, guesses = infer_pdg(conditions)
        return ParticleColumns(conditions, codes, (*notes, *guesses))
    wrong = ~np.isfinite(pdg) | (pdg != np.rint(pdg)) | (np.abs(pdg) > np.iinfo(np.int32).max)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise FileFormatError(f"{path}: row {row}: pdg = {pdg[row]:g} is not an integer PDG code")
    return ParticleColumns(conditions, pdg.astype(np.int64), tuple(notes))


def _recognised(path: Path, columns: Mapping[str, NDArray[Any]]) -> tuple[dict[str, str], list[str]]:
    """The file's name of each of our columns, and the other columns of the file."""
    ours = {alias: name for name in (*CONDITIONS, "pdg") for alias in (name, *_ALIASES.get(name, ()))}
    known: dict[str, str] = {}
    unknown = []
    for theirs in columns:
        plain = "".join(letter for letter in theirs.lower() if letter.isalnum())
        name = ours.get(plain)
        if name is None:
            unknown.append(theirs)
        elif name in known:
            raise FileFormatError(f"{path}: columns {known[name]!r} and {theirs!r} both hold {name}; remove one")
        else:
            known[name] = theirs
    return known, unknown


def _listed(names: Mapping[str, object] | list[str]) -> str:
    shown = list(names)
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more
