"""Base of the readers: blocks of particles of bounded size, with the names of their rows in the source."""

import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import ConfigError, FileFormatError, InvalidInputError, rename_row
from zdc_detector.calorimeters import find_calorimeter
from zdc_detector.frames import Frame
from zdc_detector.particles import CONDITIONS, Particles

#: Columns that identify a particle in its source; they are copied to the output unchanged.
SOURCE_COLUMNS = ("event", "barcode")
#: The column with a generator's status code of each particle, and the code of final-state particles.
STATUS = "status"
FINAL_STATE = (1,)
#: Start of the reason that is reported for particles with other status codes.
OF_STATUS = "of status"
COLUMNS = ("pdg", *CONDITIONS, STATUS, *SOURCE_COLUMNS)
REQUIRED = ("pdg", "px", "py", "pz")
#: Columns of whole numbers; all others are read as float64.
INTEGER_COLUMNS = ("pdg", STATUS, *SOURCE_COLUMNS)

#: Message for a whole number outside int64.
LARGER_THAN_KEPT = f"is outside the range of int64, +-{2**63 - 1}"

BLOCK_ROWS = 8192

#: Makes, from the `SOURCE_COLUMNS` of a block, a function that names row i as the source does.
Placing = Callable[[Mapping[str, NDArray[np.generic]]], Callable[[int], str]]


@dataclass(frozen=True)
class ParticleBlock:
    """Consecutive particles of a source.

    Attributes
    ----------
    particles : N particles.
    columns : Those of the `SOURCE_COLUMNS` that the source has, int64, shape (N,).
    place : Function that names row i of this block as the source does, e.g. ``line 17``.
    """

    particles: Particles
    columns: Mapping[str, NDArray[np.int64]]
    place: Callable[[int], str]

    @classmethod
    def from_columns(
        cls, source: object, columns: Mapping[str, NDArray[np.generic]], place: Callable[[int], str]
    ) -> "ParticleBlock":
        """Make a block from the columns of a table.

        Raises
        ------
        FileFormatError : a column is missing or unknown, or a row is not a valid particle. The message names the source
            and the row.
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
    source : Name of the source in messages.
    read : Number of particles read so far.
    skipped : Number of these that were left out, by reason.
    has_whole_events : Whether the source holds whole events, most of whose particles do not reach a calorimeter.
    has_status : Whether the source has a status code for each particle.
    count : Number of particles in the source, if it is known before they are read.
    source_columns : Those of the `SOURCE_COLUMNS` that its blocks have.
    notes : Remarks for the user on how the source was read.
    calorimeter : The calorimeter whose face the particles of whole events must reach, ZN unless it is set before the
        particles are read.
    frame : Where the source says that its particles are given; None if it says nothing. It is set before the particles
        are read. If it is ``face``, all particles of whole events are taken that fly along the beam.

    Parameters
    ----------
    source : Name of the source in messages.
    block_rows : Maximum number of particles per block.
    statuses : Status codes of the particles to take. None takes `FINAL_STATE` if the source has status codes.
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
        self.calorimeter = find_calorimeter("ZN")
        self.frame: Frame | None = None
        self._block_rows = block_rows
        self._start, self._stop = 0, sys.maxsize

    def only(self, start: int, stop: int) -> None:
        """Restrict the reader to particles ``start:stop``, without reading the others; needs a known `count`."""
        self._start, self._stop = start, stop

    def _within(self, count: int) -> range:
        """Indices of the selected particles among `count` particles."""
        return range(count)[self._start : self._stop]

    def _knows(self, names: Iterable[str], number_of_rows: int | None) -> None:
        """Set the attributes that depend on the source's columns and number of rows.

        Raises
        ------
        ConfigError : the user chose status codes, but the source has none.
        """
        names = set(names)
        self.has_status = STATUS in names
        if self._asks_for_status and not self.has_status:
            raise ConfigError(f"{self.source}: there is no column {STATUS!r}; leave out --status, or add the column")
        self.source_columns = (
            SOURCE_COLUMNS if self.has_whole_events else tuple(n for n in SOURCE_COLUMNS if n in names)
        )
        self.count = None if self.has_status or self.has_whole_events else number_of_rows

    def _rows_of_table(
        self, columns: Mapping[str, NDArray[np.generic]], place: Callable[[int], str]
    ) -> Iterator[ParticleBlock]:
        """The block of a table's rows with the chosen status codes; no block if there are no such rows.

        Raises
        ------
        FileFormatError : as in `ParticleBlock.from_columns`.
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
        """Rows with a chosen status code, and count the others; None if the table has no status codes."""
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
        FileFormatError : the source is damaged, or a row is invalid. The message names the row.
        """

    @property
    @abstractmethod
    def progress(self) -> tuple[int, int]:
        """Amount of the source that was read, and its total, in a unit that the reader chooses."""


def whole_numbers(
    source: object, name: str, values: NDArray[np.generic], place: Callable[[int], str]
) -> NDArray[np.int64]:
    """Convert one of the `INTEGER_COLUMNS` to int64, also from floats, as in ROOT's TNtuple.

    Raises
    ------
    FileFormatError : a value is not a whole number, or may have been rounded. The message names the row.
    """
    if values.dtype.kind not in "iuf":
        raise FileFormatError(f"{source}: {name} has type {values.dtype}; it must have whole numbers")
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
            why = f"may have been rounded: {values.dtype} holds whole numbers exactly only up to {largest}"
        raise FileFormatError(f"{source}: {place(row)}: {name} = {values[row]} {why}")
    return whole


def known_columns(source: object, names: Sequence[str], notes: list[str], what: str = "column") -> list[str]:
    """Those of `names` that are `COLUMNS`. The others are ignored, with one remark in `notes`.

    Parameters
    ----------
    what : The source's word for a column.

    Raises
    ------
    FileFormatError : a required column is missing; a column occurs twice, or its name is in upper case.
    """
    known = [name for name in names if name in COLUMNS]
    others = [name for name in names if name not in COLUMNS]
    twice = [name for name in known if known.count(name) > 1]
    if twice:
        raise FileFormatError(f"{source}: {what} {twice[0]!r} occurs twice; remove or rename one of them")
    alike = {name.strip().lower(): name for name in others}
    for name in COLUMNS:
        if name in alike and name not in known:
            raise FileFormatError(f"{source}: unknown {what} {alike[name]!r}; rename it to {name!r}, or remove it")
    for name in REQUIRED:
        if name not in known:
            raise FileFormatError(
                f"{source}: there is no {what} {name!r}; found {cut(others + known)}; particles need "
                f"{', '.join(REQUIRED)} and may have {', '.join(n for n in COLUMNS if n not in REQUIRED)}"
            )
    if others:
        notes.append(f"ignored {what}{'s' * (len(others) > 1)} {cut(others)}")
    return known


def cut(names: Sequence[str], most: int = 100) -> str:
    """Names joined by commas; beyond `most` characters, only the first ones and the number of the others."""
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


def place_by_event(columns: Mapping[str, NDArray[np.generic]]) -> Callable[[int], str]:
    """A function that names row i by event and particle."""
    return lambda row: f"event {columns['event'][row]}, particle {columns['barcode'][row]}"
