"""Particles from a CSV file, zipped or not, whose header names the columns."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from io import TextIOWrapper
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from zdc_detector.errors import FileFormatError

from zdc_service.files.blocks import BLOCK_ROWS, COLUMNS, INTEGER_COLUMNS, ParticleBlock, ParticleReader
from zdc_service.files.opening import open_bytes

#: What other programs put between columns; in text, since it stands in a message.
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", " ": "spaces"}


class CsvReader(ParticleReader):
    """Comma-separated, a header line out of `COLUMNS`, one particle a line.

    Lines without a value are passed over, and columns without a name, which pandas writes for its index.
    """

    def __init__(self, path: Path, block_rows: int = BLOCK_ROWS):
        super().__init__(path, block_rows)
        self._path = path
        self._size = path.stat().st_size
        self._position = 0
        self._last = ""

    @property
    def progress(self) -> tuple[int, int]:
        """Bytes of the file as it lies on the disk."""
        return self._position, self._size

    def __iter__(self) -> Iterator[ParticleBlock]:
        with open_bytes(self._path) as (stream, raw), TextIOWrapper(stream, "utf-8-sig", newline="") as text:
            lines = csv.reader(self._watched(text), strict=True)
            try:
                rows = ((lines.line_num, cells) for cells in lines if any(map(str.strip, cells)))
                header = self._header(*next(rows, (1, [])))
                while block := list(islice(rows, self._block_rows)):
                    self._position = raw.tell()
                    self.read += len(block)
                    yield self._block(header, block)
            except (csv.Error, UnicodeDecodeError) as error:
                raise FileFormatError(
                    f"{self.source}: after line {lines.line_num}: {error}; the file must be CSV in UTF-8"
                ) from error
        if not self._last.endswith(("\n", "\r")):
            self.notes.append("its last line has no end: make sure that nothing was cut off")

    def _watched(self, lines: Iterable[str]) -> Iterator[str]:
        for self._last in lines:
            yield self._last

    def _header(self, number: int, cells: list[str]) -> list[str]:
        header = [cell.strip() for cell in cells]
        header[:1] = [cell.lstrip("# ") for cell in header[:1]]  # numpy.savetxt makes a comment of it
        known = f"the first line names the columns, out of {', '.join(COLUMNS)}"
        if not header:
            raise FileFormatError(f"{self.source}: is empty; {known}")
        for separator, name in _OTHER_SEPARATORS.items():
            if len(header) == 1 and separator in header[0]:
                raise FileFormatError(
                    f"{self.source}: line {number} has {name} between the columns; write commas there, and points in "
                    "the numbers"
                )
        named = [name for name in header if name]
        wrong = list(dict.fromkeys(name for name in named if name not in COLUMNS or named.count(name) > 1))
        if wrong:
            raise FileFormatError(
                f"{self.source}: line {number}: {', '.join(map(repr, wrong))} is unknown or there twice: leave it out "
                f"or rename it; {known}"
            )
        if len(named) < len(header):
            self.notes.append("passed over a column without a name")
        return header

    def _block(self, header: list[str], rows: list[tuple[int, list[str]]]) -> ParticleBlock:
        numbers = [number for number, _ in rows]
        for number, cells in rows:
            if len(cells) != len(header):
                raise FileFormatError(
                    f"{self.source}: line {number} has {len(cells)} values; the header has {len(header)} columns"
                )
        table = zip(*(cells for _, cells in rows), strict=True)
        columns = {name: self._column(name, cells, numbers) for name, cells in zip(header, table, strict=True) if name}
        return ParticleBlock.from_columns(self.source, columns, lambda row: f"line {numbers[row]}")

    def _column(self, name: str, cells: Sequence[str], numbers: list[int]) -> NDArray[np.generic]:
        parse, kind = (_whole, np.int64) if name in INTEGER_COLUMNS else (float, np.float64)
        try:
            return np.fromiter(map(parse, cells), kind, len(cells))
        except (ValueError, OverflowError):
            what = "a whole number" if name in INTEGER_COLUMNS else "a number"
            for number, cell in zip(numbers, cells, strict=True):
                try:
                    kind(parse(cell))
                except (ValueError, OverflowError) as error:
                    raise FileFormatError(f"{self.source}: line {number}: {name} = {cell!r} is not {what}") from error
            raise


def _whole(cell: str) -> int:
    """Also of 2112.0, as tables of floats are written."""
    try:
        return int(cell)
    except ValueError:
        value = float(cell)
    if not value.is_integer() or abs(value) > 2**53:
        raise ValueError(cell)
    return int(value)
