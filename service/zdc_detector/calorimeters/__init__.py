"""Calorimeters as TOML files: those of the package, and a user's own.

The keys of a file are the fields of `zdc_detector.calorimeter.Calorimeter`. A comment gives the source of each constant
in the files of the package.
"""

import tomllib
from functools import cache
from pathlib import Path

from pydantic import ValidationError
from zdc_common.errors import ConfigError

from zdc_detector.calorimeter import Calorimeter


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
