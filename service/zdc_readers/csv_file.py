"""Particles from a CSV file, compressed or not, with a header that names the columns."""

import csv
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import FileFormatError
from zdc_common.words import counted, short

from zdc_readers.blocks import (
    BLOCK_ROWS,
    COLUMNS,
    INTEGER_COLUMNS,
    LARGER_THAN_KEPT,
    ParticleBlock,
    ParticleReader,
    known_columns,
)
from zdc_readers.opening import open_bytes

#: Characters; a normal line has about a hundred.
LONGEST_LINE = 1 << 20
#: Column separators of other programs, with their names for messages.
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", " ": "spaces"}


class CsvReader(ParticleReader):
    """Reads comma-separated values: a header line with names from `COLUMNS`, then one particle per line.

    Empty lines are ignored, and so are other columns, such as the index of pandas, which has no name.
    """

    def __init__(self, path: Path, block_rows: int = BLOCK_ROWS, statuses: tuple[int, ...] | None = None):
        super().__init__(path, block_rows, statuses)
        self._path = path
        self._size = path.stat().st_size
        self._position = 0
        self._last, self._line = "", 0

    @property
    def progress(self) -> tuple[int, int]:
        """Bytes read and in all, as stored on the disk."""
        return self._position, self._size

    def __iter__(self) -> Iterator[ParticleBlock]:
        try:
            with open_bytes(self._path) as (stream, raw), TextIOWrapper(stream, "utf-8-sig", newline="") as text:
                lines = csv.reader(self._watched(text), strict=True)
                rows = ((lines.line_num, cells) for cells in lines if any(map(str.strip, cells)))
                header = self._header(*next(rows, (1, [])))
                while block := list(islice(rows, self._block_rows)):
                    self._position = raw.tell()
                    self.read += len(block)
                    yield from self._block(header, block)
                self._position = raw.tell()
        except (csv.Error, UnicodeDecodeError) as error:
            raise FileFormatError(
                f"{self.source}: after line {self._line}: {short(error)}; the file must be CSV in UTF-8"
            ) from error
        except FileFormatError as error:
            if str(error).startswith(f"{self.source}: "):
                raise
            raise FileFormatError(f"{self.source}: after line {self._line}: {error}; write the file again") from error
        if not self._last.endswith(("\n", "\r")):
            self.notes.append("the last line has no line break: check that the file is complete")

    def _watched(self, text: TextIOWrapper) -> Iterator[str]:
        """The lines; raises FileFormatError for one that is too long."""
        while line := text.readline(LONGEST_LINE + 1):
            self._line += 1
            if len(line) > LONGEST_LINE:
                raise FileFormatError(f"a line of more than {LONGEST_LINE} characters: not a table of particles")
            self._last = line
            yield line

    def _header(self, number: int, cells: list[str]) -> list[str]:
        header = [cell.strip() for cell in cells]
        header[:1] = [cell.lstrip("# ") for cell in header[:1]]  # numpy.savetxt writes it as a comment
        if not any(header):
            raise FileFormatError(
                f"{self.source}: the file is empty; its first line must name the columns: {', '.join(COLUMNS)}"
            )
        for separator, name in _OTHER_SEPARATORS.items():
            if len(header) == 1 and separator in header[0]:
                raise FileFormatError(
                    f"{self.source}: line {number} has {name} between the columns; use commas between columns and "
                    "points in numbers"
                )
        known = known_columns(f"{self.source}: line {number}", [name for name in header if name], self.notes)
        self._knows(known, None)
        if not all(header):
            self.notes.append("ignored a column without a name")
        return [name if name in known else "" for name in header]

    def _block(self, header: list[str], rows: list[tuple[int, list[str]]]) -> Iterator[ParticleBlock]:
        numbers = [number for number, _ in rows]
        for number, cells in rows:
            if len(cells) != len(header):
                raise FileFormatError(
                    f"{self.source}: line {number} has {counted(len(cells), 'value')}; "
                    f"the header has {counted(len(header), 'column')}"
                )
        table = zip(*(cells for _, cells in rows), strict=True)
        columns = {name: self._column(name, cells, numbers) for name, cells in zip(header, table, strict=True) if name}
        yield from self._rows_of_table(columns, lambda row: f"line {numbers[row]}")

    def _column(self, name: str, cells: Sequence[str], numbers: list[int]) -> NDArray[np.generic]:
        parse, kind = (_whole, np.int64) if name in INTEGER_COLUMNS else (_number, np.float64)
        try:
            return np.fromiter(map(parse, cells), kind, len(cells))
        except (ValueError, OverflowError):
            what = "a whole number" if name in INTEGER_COLUMNS else "a number"
            for number, cell in zip(numbers, cells, strict=True):
                try:
                    kind(parse(cell))
                except (ValueError, OverflowError) as error:
                    wrong = f"is not {what}" if isinstance(error, ValueError) else LARGER_THAN_KEPT
                    raise FileFormatError(
                        f"{self.source}: line {number}: {name} = {short(repr(cell), 60)} {wrong}"
                    ) from error
            raise


def _number(cell: str) -> float:
    """Parse a float; refuse underscores and non-ASCII digits, which Python would accept."""
    if "_" in cell or not cell.isascii():
        raise ValueError(cell)
    return float(cell)


def _whole(cell: str) -> int:
    """Parse an integer, also from a text such as 2112.0, which programs with tables of floats write."""
    value = _number(cell)
    try:
        return int(cell)
    except ValueError:
        if not value.is_integer() or abs(value) > 2**53:
            raise ValueError(cell) from None
        return int(value)
