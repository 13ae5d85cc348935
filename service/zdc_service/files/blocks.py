"""What every reader gives: blocks of particles of bounded size, and the names of their rows in the source."""

import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import ConfigError, FileFormatError, InvalidInputError, rename_row
from zdc_common.words import install_advice
from zdc_detector.particles import CONDITIONS, Particles

#: Columns that name a particle in its source; they travel to the output unchanged.
SOURCE_COLUMNS = ("event", "barcode")
#: A generator's code of what became of a particle, and the one of the particles that are left at the end.
STATUS = "status"
FINAL_STATE = (1,)
#: Begins the reason for which those of other codes are left out.
OF_STATUS = "of status"
COLUMNS = ("pdg", *CONDITIONS, STATUS, *SOURCE_COLUMNS)
REQUIRED = ("pdg", "px", "py", "pz")
#: Columns of whole numbers; all others are read as float64.
INTEGER_COLUMNS = ("pdg", STATUS, *SOURCE_COLUMNS)

#: What is said of a whole number beyond int64, also of one far below zero.
LARGER_THAN_KEPT = f"is beyond {2**63 - 1}, the largest number that is kept (int64)"

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
        whole = {name: whole_numbers(source, name, columns[name], place) for name in INTEGER_COLUMNS if name in columns}
        kept = {name: whole[name] for name in SOURCE_COLUMNS if name in whole}
        given = {**columns, **whole}
        try:
            particles = Particles.from_columns({k: v for k, v in given.items() if k not in (*kept, STATUS)})
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
    has_status : Whether the source says of each particle what became of it.
    count : Particles that it has, if that is known before they are read.
    source_columns : Those of `SOURCE_COLUMNS` that its blocks have.
    notes : What else to say of how the source was read.

    Parameters
    ----------
    source : What the particles come from.
    block_rows : Particles in a block, at most.
    statuses : Codes of the particles to take; None takes `FINAL_STATE` of a source that has such codes.
    """

    has_whole_events = False
    has_status = False
    count: int | None = None
    source_columns: tuple[str, ...] = ()

    def __init__(self, source: Path | str, block_rows: int = BLOCK_ROWS, statuses: tuple[int, ...] | None = None):
        self.source = source
        self._statuses = np.array(FINAL_STATE if statuses is None else statuses, dtype=np.int64)
        self._asks_for_status = statuses is not None
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

    def _knows(self, names: Iterable[str], number_of_rows: int | None) -> None:
        """Say which columns the source has, and how many rows; a status leaves out some of them.

        Raises
        ------
        ConfigError : it has no status, and some are asked for.
        """
        names = set(names)
        self.has_status = STATUS in names
        if self._asks_for_status and not self.has_status:
            raise ConfigError(f"{self.source}: has no column {STATUS!r}; leave out --status, or add the column")
        self.source_columns = (
            SOURCE_COLUMNS if self.has_whole_events else tuple(n for n in SOURCE_COLUMNS if n in names)
        )
        self.count = None if self.has_status or self.has_whole_events else number_of_rows

    def _rows_of_table(
        self, columns: Mapping[str, NDArray[np.generic]], place: Callable[[int], str]
    ) -> Iterator[ParticleBlock]:
        """The block of a table's rows, of which a status leaves out some; none if it leaves out all.

        Raises
        ------
        FileFormatError : as `ParticleBlock.from_columns`.
        """
        kept = self._chosen(columns, place)
        if kept is not None:
            columns = {name: values[kept] for name, values in columns.items()}
            if len(kept):
                yield ParticleBlock.from_columns(self.source, columns, lambda row: place(int(kept[row])))
        else:
            yield ParticleBlock.from_columns(self.source, columns, place)

    def _chosen(
        self, columns: Mapping[str, NDArray[np.generic]], place: Callable[[int], str]
    ) -> NDArray[np.intp] | None:
        """Rows with a status that is taken, None if there are none of them; counts the others."""
        if STATUS not in columns:
            return None
        status = whole_numbers(self.source, STATUS, columns[STATUS], place)
        taken = np.isin(status, self._statuses)
        codes, counts = np.unique(status[~taken], return_counts=True)
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
            self.skipped[f"{OF_STATUS} {code}"] += count
        return np.flatnonzero(taken)

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
    """One of the `INTEGER_COLUMNS` as int64; tables of floats, such as ROOT's TNtuple, may hold them too.

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
        if not floats:
            why = LARGER_THAN_KEPT
        elif not np.isfinite(values[row]) or values[row] != np.rint(values[row]):
            why = "must be a whole number"
        else:
            why = f"may have been rounded: {values.dtype} holds each whole number up to {largest} only"
        raise FileFormatError(f"{source}: {place(row)}: {name} = {values[row]} {why}")
    return whole


def known_columns(source: object, names: Sequence[str], notes: list[str], what: str = "column") -> list[str]:
    """Those of `names` that are `COLUMNS`; the others are passed over, which is said once in `notes`.

    Parameters
    ----------
    what : What the source calls a column.

    Raises
    ------
    FileFormatError : one that is required is missing, is there twice, or is written in other letters.
    """
    known = [name for name in names if name in COLUMNS]
    others = [name for name in names if name not in COLUMNS]
    twice = [name for name in known if known.count(name) > 1]
    if twice:
        raise FileFormatError(f"{source}: {what} {twice[0]!r} is there twice; leave one out or rename it")
    alike = {name.strip().lower(): name for name in others}
    for name in COLUMNS:
        if name in alike and name not in known:
            raise FileFormatError(f"{source}: {what} {alike[name]!r}: is {name!r} meant? Rename it so, or leave it out")
    for name in REQUIRED:
        if name not in known:
            raise FileFormatError(
                f"{source}: there is no {what} {name!r}; it has {cut(others + known)}; particles need "
                f"{', '.join(REQUIRED)} and may have {', '.join(n for n in COLUMNS if n not in REQUIRED)}"
            )
    if others:
        notes.append(f"passed over {what}{'s' * (len(others) > 1)} {cut(others)}")
    return known


def cut(names: Sequence[str], most: int = 100) -> str:
    """Names in a row, the first ones only if that is longer than `most` characters."""
    names = ["".join(c if c.isprintable() else "?" for c in name) for name in names]
    text, shown = "", 0
    for name in names:
        longer = f"{text}, {name}" if text else name
        if len(longer) > most:
            break
        text, shown = longer, shown + 1
    if shown == len(names):
        return text or "none"
    more = len(names) - max(shown, 1)
    return f"{text or names[0][:most]} ..." + (f" and {more} more" if more else "")


def short(value: object, most: int = 100) -> str:
    """A message of another program in one line, cut."""
    text = " ".join(str(value).split())
    return text if len(text) <= most else f"{text[:most]} ..."


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
        raise ConfigError(f"{purpose} need the package {error.name}; {install_advice('hep')}") from error
