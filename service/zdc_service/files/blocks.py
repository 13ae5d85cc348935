"""What every reader gives: blocks of particles of bounded size, and the names of their rows in the source."""

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
        kept = {name: columns[name].astype(np.int64) for name in SOURCE_COLUMNS if name in columns}
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
    notes : What else to say of how the source was read.
    """

    has_whole_events = False

    def __init__(self, source: Path | str, block_rows: int = BLOCK_ROWS):
        self.source = source
        self.read = 0
        self.skipped: Counter[str] = Counter()
        self.notes: list[str] = []
        self._block_rows = block_rows

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
