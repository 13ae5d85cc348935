"""Tables whose entries are events, with lists of particles: as many numbers in each column as there are particles."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zdc_detector.errors import FileFormatError

from zdc_service.files.blocks import INTEGER_COLUMNS, ParticleBlock, hep_package, place_by_event, whole_numbers
from zdc_service.files.selection import Selection

Columns = dict[str, NDArray[np.generic]]


class Events:
    """From awkward arrays of a table's columns to blocks of particles.

    Parameters
    ----------
    source : What messages call the table.
    skipped : Gets the particles that are left out, counted by reason.
    rows : Particles in a block, at most.
    """

    def __init__(self, source: object, skipped: Counter[str], rows: int):
        self._source = source
        self._selection = Selection(skipped)
        self._rows = rows
        self._awkward = hep_package("awkward", "Lists of particles")

    def numbers(self, entries: Mapping[str, Any], first: int) -> tuple[Columns, NDArray[np.int64] | None]:
        """One number a particle in each column, and how many particles each entry has, or None where each is one.

        Parameters
        ----------
        entries : ``pdg`` and other columns, of numbers or lists of numbers, all as long.
        first : Number of the first entry in the source.

        Raises
        ------
        FileFormatError : something else is in a column, or lists of an entry differ in length.
        """
        counts = self._counts("pdg", entries["pdg"]) if entries["pdg"].ndim > 1 else None
        columns = {}
        for name, values in entries.items():
            if values.ndim > 1 and counts is not None:
                if not np.array_equal(self._counts(name, values), counts):
                    raise FileFormatError(
                        f"{self._source}: {name} and pdg have lists of different lengths in an entry from {first} on"
                    )
                columns[name] = self._column(name, self._awkward.flatten(values))
            else:
                column = self._column(name, values)
                columns[name] = column if counts is None else np.repeat(column, counts)
        ends = np.cumsum(counts) if counts is not None else np.arange(1, len(columns["pdg"]) + 1)

        def place(row: int) -> str:
            return f"entry {first + int(np.searchsorted(ends, row, side='right'))}"

        for name in INTEGER_COLUMNS:
            if name in columns:
                columns[name] = whole_numbers(self._source, name, columns[name], place)
        return columns, counts

    def blocks(self, columns: Columns, counts: NDArray[np.int64], first: int) -> Iterator[ParticleBlock]:
        """Those that `Selection` lets pass; ``event`` and ``barcode``, where absent, are the entry and the place in it.

        Parameters
        ----------
        columns, counts, first : As `numbers` gives and takes them.
        """
        numbers = np.arange(first, first + len(counts), dtype=np.int64)
        columns.setdefault("event", np.repeat(numbers, counts))
        starts = np.repeat(np.cumsum(counts) - counts, counts)
        columns.setdefault("barcode", np.arange(len(starts), dtype=np.int64) - starts)
        kept = self._selection.neutral(columns["pdg"])
        columns = {name: values[kept] for name, values in columns.items()}
        yield from self._selection.reaching(self._source, columns, place_by_event, self._rows)

    def _counts(self, name: str, lists: Any) -> NDArray[np.int64]:
        try:
            counts: NDArray[np.int64] = self._awkward.to_numpy(self._awkward.num(lists), allow_missing=False)
        except ValueError:
            raise FileFormatError(f"{self._source}: {name!r} has nulls for lists; write empty lists") from None
        return counts.astype(np.int64)

    def _column(self, name: str, values: Any) -> NDArray[np.generic]:
        try:
            column: NDArray[np.generic] = self._awkward.to_numpy(values, allow_missing=False)
        except (ValueError, TypeError):
            column = np.zeros((), dtype=object)
        if column.ndim != 1 or column.dtype.kind not in "iuf":
            raise FileFormatError(f"{self._source}: {name!r} has type {values.type}; it needs numbers, and no nulls")
        return column
