"""Particles from a CSV file, zipped or not, whose header names the columns."""

import csv
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from zdc_detector.errors import FileFormatError

from zdc_service.files.blocks import BLOCK_ROWS, COLUMNS, INTEGER_COLUMNS, ParticleBlock, ParticleReader
from zdc_service.files.opening import open_bytes


class CsvReader(ParticleReader):
    """Comma-separated, a header line out of `COLUMNS`, one particle a line; blank lines are passed over."""

    def __init__(self, path: Path, block_rows: int = BLOCK_ROWS):
        super().__init__(path, block_rows)
        self._path = path
        self._size = path.stat().st_size
        self._position = 0

    @property
    def progress(self) -> tuple[int, int]:
        """Bytes of the file as it lies on the disk."""
        return self._position, self._size

    def __iter__(self) -> Iterator[ParticleBlock]:
        with open_bytes(self._path) as (stream, raw), TextIOWrapper(stream, "utf-8-sig", newline="") as text:
            lines = csv.reader(text, strict=True)
            try:
                header = self._header(next(lines, []))
                rows = ((lines.line_num, cells) for cells in lines if cells)
                while block := list(islice(rows, self._block_rows)):
                    self._position = raw.tell()
                    self.read += len(block)
                    yield self._block(header, block)
            except (csv.Error, UnicodeDecodeError) as error:
                raise FileFormatError(
                    f"{self.source}: after line {lines.line_num}: {error}; the file must be CSV in UTF-8"
                ) from error

    def _header(self, cells: list[str]) -> list[str]:
        header = [cell.strip() for cell in cells]
        wrong = [name for name in header if name not in COLUMNS or header.count(name) > 1]
        if wrong or not header:
            raise FileFormatError(
                f"{self.source}: line 1: {wrong[0] if wrong else ''!r} is unknown or there twice; the header names the "
                f"columns, out of {', '.join(COLUMNS)}"
            )
        return header

    def _block(self, header: list[str], rows: list[tuple[int, list[str]]]) -> ParticleBlock:
        numbers = [number for number, _ in rows]
        for number, cells in rows:
            if len(cells) != len(header):
                raise FileFormatError(
                    f"{self.source}: line {number} has {len(cells)} values; the header has {len(header)} columns"
                )
        table = zip(*(cells for _, cells in rows), strict=True)
        columns = {name: self._column(name, cells, numbers) for name, cells in zip(header, table, strict=True)}
        return ParticleBlock.from_columns(self.source, columns, lambda row: f"line {numbers[row]}")

    def _column(self, name: str, cells: Sequence[str], numbers: list[int]) -> NDArray[np.generic]:
        kind = np.int64 if name in INTEGER_COLUMNS else np.float64
        try:
            return np.array(cells).astype(kind)
        except (ValueError, OverflowError):
            what = "a whole number" if name in INTEGER_COLUMNS else "a number"
            for number, cell in zip(numbers, cells, strict=True):
                try:
                    np.array([cell]).astype(kind)
                except (ValueError, OverflowError) as error:
                    raise FileFormatError(f"{self.source}: line {number}: {name} = {cell!r} is not {what}") from error
            raise
