"""Convert the callers' tables, mappings and arrays of particles to `Particles`."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, cast

import numpy as np
from numpy.ma.core import MaskedConstant
from numpy.typing import NDArray
from zdc_common.errors import InvalidInputError
from zdc_detector.columns import as_column, refuse_missing
from zdc_detector.particles import CONDITIONS, UNITS, Particles

from zdc_service.client.chunks import NO_PARTICLES


class Table(Protocol):
    """A table with named columns, e.g. of pandas, polars or pyarrow."""

    @property
    def columns(self) -> Iterable[Any]:
        """Names of the columns."""

    def __getitem__(self, name: Any, /) -> Any:
        """A column."""


class Records(Protocol):
    """An array of records with named fields, e.g. of awkward."""

    @property
    def fields(self) -> Iterable[str]:
        """Names of the fields."""

    def __getitem__(self, name: Any, /) -> Any:
        """A field of all records."""


#: A block of N particles: `Particles`, or a mapping, a table, or an array of NumPy or awkward with named fields. The
#: columns are those of `Particles.from_columns`: ``pdg``, ``px``, ``py``, ``pz`` [GeV/c] and, optionally, ``vx``,
#: ``vy``, ``vz`` [cm]; shape (N,) each.
#: Values of a mapping are checked at run time; a narrower static type would reject ``{"pdg": [2112], "pz": [1500.0]}``.
ParticlesLike = Particles | Mapping[str, Any] | NDArray[np.void] | Table | Records


def blocks_of(particles: ParticlesLike | Iterable[ParticlesLike]) -> Iterable[ParticlesLike]:
    """An iterable of blocks, whether the caller gave one block or an iterable of blocks.

    Raises
    ------
    InvalidInputError : the argument is neither.
    """
    if isinstance(particles, Particles | Mapping | np.ndarray) or _names(particles):
        return [cast("ParticlesLike", particles)]
    if isinstance(particles, Iterable) and not isinstance(particles, str | bytes):
        return particles
    raise _no_particles(particles)


def as_particles(block: ParticlesLike) -> Particles:
    """Convert a block to N particles. N may be 0, e.g. for an event without a particle that reaches a calorimeter.

    Raises
    ------
    InvalidInputError, OutOfRangeError : as in `Particles.from_columns`; also if the block has no named columns.
    """
    if isinstance(block, Particles):
        as_column("pdg", block.pdg)
        for i, name in enumerate(CONDITIONS):
            as_column(name, block.conditions[:, i])
        return block
    columns = _columns(block)
    if "pdg" in columns and columns["pdg"].size == 0:
        return NO_PARTICLES
    return Particles.from_columns(columns)


def _columns(block: Any) -> dict[str, NDArray[Any]]:
    names = list(block) if isinstance(block, Mapping) else _names(block)
    if not names:
        raise _no_particles(block)
    columns = {}
    for name in names:
        try:
            values = block[name]
        except TypeError as error:  # a lazy table, not yet computed
            raise InvalidInputError(f"{name} must be a column of numbers: {str(error)[:100]}") from error
        if isinstance(values, list | tuple) and MaskedConstant in set(map(type, values)):  # NumPy would make it NaN
            refuse_missing(str(name), np.array([value is np.ma.masked for value in values], dtype=bool))
        _check_unit(str(name), values)
        columns[str(name)] = as_column(str(name), values)
    return columns


def _check_unit(name: str, values: Any) -> None:
    """Refuse a column in another unit: NumPy would drop the unit of, e.g., an astropy quantity."""
    unit = getattr(values, "unit", None)
    if unit is None or name not in CONDITIONS:
        return
    ours = UNITS[CONDITIONS.index(name)]
    if str(unit).replace(" ", "") not in (ours, ours.removesuffix("/c"), ""):
        raise InvalidInputError(f"{name} is in {str(unit)[:50]}; give it in {ours}, as plain numbers")


def _names(block: object) -> list[Any]:
    """Names of the block's columns; empty if it has none."""
    if isinstance(block, np.ndarray):
        return list(block.dtype.names or ())
    for attribute in ("column_names", "columns", "fields"):  # pyarrow's `columns` are the numbers themselves
        names = getattr(block, attribute, None)
        if names is not None:
            return list(names)
    return []


def _no_particles(given: object) -> InvalidInputError:
    kind = f"an array of {given.dtype}" if isinstance(given, np.ndarray) else f"of type {type(given).__name__}"
    return InvalidInputError(
        f"particles are {kind} without named columns; give Particles, or a mapping, a table or a structured array with "
        "the columns pdg, px, py, pz [GeV/c]"
    )
