"""What every reader gives: blocks of particles of bounded size, and the names of their rows in the source."""

import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from zdc_detector.errors import ConfigError, FileFormatError, InvalidInputError, rename_row
from zdc_detector.particles import CONDITIONS, Particles

#: Columns that name a particle in its source; they travel to the output unchanged.
SOURCE_COLUMNS = ("event", "barcode")
COLUMNS = ("pdg", *CONDITIONS, *SOURCE_COLUMNS)
#: Columns of whole numbers; all others are read as float64.
INTEGER_COLUMNS = ("pdg", *SOURCE_COLUMNS)

BLOCK_ROWS = 8192

#: From the `SOURCE_COLUMNS` of a block to what its source calls row i.
Placing = Callable[[Mapping[str, NDArray[np.generic]]], Callable[[int], str]]


@dataclass(frozen=True)
class ParticleBlock:
    """Consecutive particles of a source.

    Attributes
    ----------
    particles : N particles.
    columns : Those of `SOURCE_COLUMNS` that the source has, int64, shape (N,).
    place : What the source calls row i of this block, e.g. ``line 17``.
    """

    particles: Particles
    columns: Mapping[str, NDArray[np.int64]]
    place: Callable[[int], str]

    @classmethod
    def from_columns(
        cls, source: object, columns: Mapping[str, NDArray[np.generic]], place: Callable[[int], str]
    ) -> "ParticleBlock":
        """Check the columns of a table; errors name the source and the row as `place` does.

        Raises
        ------
        FileFormatError : a column is missing or unknown, or a row holds no particle.
        """
        kept = {name: whole_numbers(source, name, columns[name], place) for name in SOURCE_COLUMNS if name in columns}
        try:
            particles = Particles.from_columns({k: v for k, v in columns.items() if k not in kept})
        except InvalidInputError as error:
            raise FileFormatError(f"{source}: {rename_row(error, place)}") from error
        return cls(particles, kept, place)


class ParticleReader(ABC):
    """One source of particles, read once, block by block.

    Attributes
    ----------
    source : What the particles come from, as messages name it.
    read : Particles of the source seen so far.
    skipped : Of these, how many were left out, by reason.
    has_whole_events : Whether the source holds whole events, most of whose particles concern no calorimeter.
    count : Particles that it has, where that is known before they are read.
    notes : What else to say of how the source was read.
    """

    has_whole_events = False
    count: int | None = None

    def __init__(self, source: Path | str, block_rows: int = BLOCK_ROWS):
        self.source = source
        self.read = 0
        self.skipped: Counter[str] = Counter()
        self.notes: list[str] = []
        self._block_rows = block_rows
        self._start, self._stop = 0, sys.maxsize

    def only(self, start: int, stop: int) -> None:
        """Give particles ``start:stop`` alone, without reading the others; for a source whose `count` is known."""
        self._start, self._stop = start, stop

    def _within(self, count: int) -> range:
        """Which of `count` particles to give."""
        return range(count)[self._start : self._stop]

    @abstractmethod
    def __iter__(self) -> Iterator[ParticleBlock]:
        """Blocks of at most the reader's `block_rows` rows, in the order of the source.

        Raises
        ------
        FileFormatError : the source is not what its name says; names the row.
        """

    @property
    @abstractmethod
    def progress(self) -> tuple[int, int]:
        """How much of the source is consumed, and the whole, in units of the reader's own."""


def whole_numbers(
    source: object, name: str, values: NDArray[np.generic], place: Callable[[int], str]
) -> NDArray[np.int64]:
    """A column of an `INTEGER_COLUMNS` as int64; tables of floats, such as ROOT's TNtuple, may hold them too.

    Raises
    ------
    FileFormatError : one is no whole number, or may have been rounded; names the row as `place` does.
    """
    if values.dtype.kind not in "iuf":
        raise FileFormatError(f"{source}: {name} has type {values.dtype}; it needs whole numbers")
    floats = values.dtype.kind == "f"
    largest = 2 ** (1 + int(np.finfo(values.dtype.name).nmant)) if floats else 2**63 - 1
    with np.errstate(invalid="ignore"):
        whole = values.astype(np.int64)
    right = (whole == values) & (whole.astype(values.dtype) == values)
    if floats:
        right &= np.abs(whole) <= largest
    if not right.all():
        row = int(np.argmin(right))
        raise FileFormatError(
            f"{source}: {place(row)}: {name} = {values[row]} must be a whole number of at most {largest} in size, up "
            f"to which {values.dtype} holds each one"
        )
    return whole


def place_by_event(columns: Mapping[str, NDArray[np.generic]]) -> Callable[[int], str]:
    """Names of rows by event and particle."""
    return lambda row: f"event {columns['event'][row]}, particle {columns['barcode'][row]}"


def hep_package(name: str, purpose: str) -> ModuleType:
    """Import a package of the optional extra `hep`.

    Raises
    ------
    ConfigError : it is not installed; says how to install it.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{purpose} need the package {error.name}; install it with: pip install 'zdc-fastsim[hep]'"
        ) from error
