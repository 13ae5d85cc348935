"""Calorimeters as TOML files: those of the package, and a user's own; and the calorimeter that an HDF5 file contains.

The keys of a TOML file are the fields of `zdc_detector.calorimeter.Calorimeter`. A comment gives the source of each
constant in the files of the package.
"""

import tomllib
from functools import cache
from pathlib import Path

import h5py
from pydantic import ValidationError
from zdc_common.errors import ConfigError, FileFormatError

from zdc_detector.calorimeter import Calorimeter

#: Name of the data set and of the attribute of HDF5 files.
STORED = "calorimeter"


@cache
def shipped_calorimeters() -> dict[str, Calorimeter]:
    """The calorimeters of the package by their names, ``ZN`` and ``ZP``."""
    found = [read_calorimeter(path) for path in sorted(Path(__file__).parent.glob("*.toml"))]
    return {calorimeter.name: calorimeter for calorimeter in found}


def find_calorimeter(source: str | Path) -> Calorimeter:
    """A calorimeter of the package by its name, whatever its case, or the one in a TOML file.

    Parameters
    ----------
    source : A name, e.g. ``ZP`` or ``zp``, or the path of a file.

    Raises
    ------
    ConfigError : no such name or file, or see `read_calorimeter`.
    """
    shipped = shipped_calorimeters()
    if (name := str(source).upper()) in shipped:
        return shipped[name]
    if not Path(source).is_file():
        raise ConfigError(
            f"calorimeter {str(source)!r} is neither a file nor one of {', '.join(shipped)}; name one of them, or the "
            "TOML file of another calorimeter"
        )
    return read_calorimeter(Path(source))


def read_calorimeter(path: Path) -> Calorimeter:
    """Read a TOML file.

    Raises
    ------
    ConfigError : the file cannot be read or is not TOML, or a key is unknown, missing or out of bounds; names the key.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as the TOML of a calorimeter: {error}") from error
    try:
        return Calorimeter.model_validate(tree)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, each['loc'])) or 'channel_map'}: {each['msg']}" for each in error.errors()]
        raise ConfigError(
            f"{path}: {'; '.join(problems)}; the keys of a calorimeter are {', '.join(Calorimeter.model_fields)}"
        ) from error


def store_calorimeter(file: h5py.File, calorimeter: Calorimeter) -> None:
    """Write the calorimeter into an HDF5 file: whole, as the JSON text `STORED`, and its name as an attribute.

    It is a data set, because an attribute of HDF5 has at most 64 KB.
    """
    file[STORED] = calorimeter.model_dump_json()
    file.attrs[STORED] = calorimeter.name


def stored_calorimeter(file: h5py.File) -> Calorimeter:
    """The calorimeter of an HDF5 file. Files of older versions have only its name; without a name it is ZN.

    Raises
    ------
    FileFormatError : the text is not a calorimeter, or there is only a name that the package does not know.
    """
    text = file.get(STORED)
    if isinstance(text, h5py.Dataset):
        try:
            return Calorimeter.model_validate_json(text.asstr()[()])
        except (ValidationError, TypeError) as error:
            raise FileFormatError(f"the data set {STORED!r} is not the JSON text of a calorimeter: {error}") from error
    name = file.attrs.get(STORED, "ZN")
    name = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
    if name not in shipped_calorimeters():
        raise FileFormatError(
            f"calorimeter {name!r} is not known and the file does not contain it; known are "
            f"{', '.join(shipped_calorimeters())}"
        )
    return shipped_calorimeters()[name]
