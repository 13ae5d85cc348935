"""Tables with one event per entry: each column holds a list with one number per particle of the event."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import FileFormatError
from zdc_common.optional_packages import hep_package
from zdc_common.words import counted, short
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.frames import Frame

from zdc_readers.blocks import (
    INTEGER_COLUMNS,
    STATUS,
    ParticleBlock,
    place_by_event,
    whole_numbers,
)
from zdc_readers.selection import Selection

Columns = dict[str, NDArray[np.generic]]
Chosen = Callable[[Columns, Callable[[int], str]], NDArray[np.intp] | None]


class Events:
    """Converts a table's columns, as awkward arrays, to blocks of particles.

    Parameters
    ----------
    source : Name of the table in messages.
    skipped : Counter that gets the number of particles left out, by reason.
    calorimeter : The calorimeter that the particles must reach.
    frame : Where the particles are given; None is their vertex.
    rows : Maximum number of particles per block.
    chosen : Function that returns the rows with a chosen status code, or None for all rows.
    """

    def __init__(
        self,
        source: object,
        skipped: Counter[str],
        calorimeter: Calorimeter,
        frame: Frame | None,
        rows: int,
        chosen: Chosen,
    ):
        self._source = source
        self._selection = Selection(skipped, calorimeter, frame)
        self._rows = rows
        self._chosen = chosen
        self._awkward = hep_package("awkward", "Lists of particles")

    def numbers(self, entries: Mapping[str, Any], first: int) -> tuple[Columns, NDArray[np.int64] | None]:
        """Flatten the columns to one number per particle.

        Parameters
        ----------
        entries : ``pdg`` and other columns of equal length, of numbers or of lists of numbers.
        first : Number of the first entry in the source.

        Returns
        -------
        The columns, and the number of particles of each entry; None if each entry is one particle.

        Raises
        ------
        FileFormatError : a column is not numeric, or lists of one entry differ in length.
        """
        counts = self._counts("pdg", entries["pdg"], first) if entries["pdg"].ndim > 1 else None
        ends = np.cumsum(counts) if counts is not None else np.arange(1, len(entries["pdg"]) + 1)

        def place(row: int) -> str:
            return f"entry {first + int(np.searchsorted(ends, row, side='right'))}"

        columns = {}
        for name, values in entries.items():
            if values.ndim > 1 and counts is not None:
                differs = self._counts(name, values, first) != counts
                if differs.any():
                    entry = int(np.argmax(differs))
                    particles = counted(int(counts[entry]), "particle")
                    raise FileFormatError(
                        f"{self._source}: entry {first + entry}: pdg has {particles} and {name} has "
                        f"{self._counts(name, values, first)[entry]}; the lists of an entry must have the same length"
                    )
                columns[name] = self._column(name, self._awkward.flatten(values), place)
            else:
                column = self._column(name, values, lambda row: f"entry {first + row}")
                columns[name] = column if counts is None else np.repeat(column, counts)
        for name in INTEGER_COLUMNS:
            if name in columns:
                columns[name] = whole_numbers(self._source, name, columns[name], place)
        return columns, counts

    def blocks(self, columns: Columns, counts: NDArray[np.int64], first: int) -> Iterator[ParticleBlock]:
        """Blocks of the particles that `Selection` accepts.

        If the table has no ``event`` and ``barcode``, they are the entry's number and the particle's index in it.

        Parameters
        ----------
        columns, counts : As returned by `numbers`.
        first : Number of the first entry in the source.
        """
        numbers = np.arange(first, first + len(counts), dtype=np.int64)
        columns.setdefault("event", np.repeat(numbers, counts))
        starts = np.repeat(np.cumsum(counts) - counts, counts)
        columns.setdefault("barcode", np.arange(len(starts), dtype=np.int64) - starts)
        taken = self._chosen(columns, place_by_event(columns))
        if taken is not None:
            columns = {name: values[taken] for name, values in columns.items() if name != STATUS}
        kept = self._selection.possible(columns["pdg"])
        columns = {name: values[kept] for name, values in columns.items()}
        yield from self._selection.reaching(self._source, columns, place_by_event, self._rows)

    def _counts(self, name: str, lists: Any, first: int) -> NDArray[np.int64]:
        self._refuse_nulls(name, lists, lambda row: f"entry {first + row}", "write an empty list")
        try:
            counts: NDArray[np.int64] = self._awkward.to_numpy(self._awkward.num(lists), allow_missing=False)
        except (ValueError, TypeError):
            raise self._no_numbers(name, lists) from None
        return counts.astype(np.int64)

    def _column(self, name: str, values: Any, place: Callable[[int], str]) -> NDArray[np.generic]:
        self._refuse_nulls(name, values, place, "write a number, or leave the particle out")
        try:
            column: NDArray[np.generic] = self._awkward.to_numpy(values, allow_missing=False)
        except (ValueError, TypeError):
            column = np.zeros((), dtype=object)
        if column.ndim != 1 or column.dtype.kind not in "iuf":
            raise self._no_numbers(name, values)
        return column

    def _no_numbers(self, name: str, values: Any) -> FileFormatError:
        return FileFormatError(f"{self._source}: {name!r} has type {short(values.type)}; it must have numbers")

    def _refuse_nulls(self, name: str, values: Any, place: Callable[[int], str], remedy: str) -> None:
        missing = self._awkward.to_numpy(self._awkward.is_none(values, axis=0))
        if missing.any():
            raise FileFormatError(f"{self._source}: {place(int(np.argmax(missing)))}: {name} is null; {remedy}")
