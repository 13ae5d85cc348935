"""Particles from a Parquet file with one column per number."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zdc_detector.errors import FileFormatError

from zdc_service.files.blocks import BLOCK_ROWS, COLUMNS, ParticleBlock, ParticleReader, hep_package

_BUFFER = 1 << 18  # bytes of each column


#: What pandas adds for the index of a DataFrame, say one whose rows were chosen from another's.
_INDEX = re.compile(r"__index_level_\d+__")


class ParquetReader(ParticleReader):
    """Numeric columns named as in `COLUMNS`, no nulls; columns of other names are refused, but for pandas' index."""

    def __init__(self, path: Path, block_rows: int = BLOCK_ROWS):
        super().__init__(path, block_rows)
        parquet = hep_package("pyarrow.parquet", "Parquet files")
        self._arrow = hep_package("pyarrow", "Parquet files")
        try:
            # Read-ahead would hold whole row groups, of which a file may have only one.
            self._file = parquet.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER)
        except (self._arrow.ArrowException, OSError) as error:
            raise FileFormatError(f"{path}: cannot be read as Parquet: {error}") from error
        self.count = int(self._file.metadata.num_rows)
        self._columns = self._known_columns()

    @property
    def progress(self) -> tuple[int, int]:
        """Rows."""
        return self.read, len(self._within(self._file.metadata.num_rows))

    def __iter__(self) -> Iterator[ParticleBlock]:
        wanted = self._within(self._file.metadata.num_rows)
        groups, first = self._groups(wanted)
        with self._file:
            try:
                for batch in self._file.iter_batches(self._block_rows, row_groups=groups, columns=self._columns):
                    skipped = max(0, wanted.start - first)
                    chosen = batch.slice(skipped, max(0, wanted.stop - first - skipped))
                    if chosen.num_rows:
                        yield self._block(chosen, first + skipped)
                    first += batch.num_rows
            except (self._arrow.ArrowException, OSError) as error:
                raise FileFormatError(f"{self.source}: after row {first - 1}: {error}; write the file again") from error

    def _groups(self, wanted: range) -> tuple[list[int], int]:
        """The row groups that hold the wanted rows, and the first row of these."""
        metadata = self._file.metadata
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        starts = np.cumsum([0, *sizes])
        groups = [i for i, size in enumerate(sizes) if starts[i] < wanted.stop and starts[i] + size > wanted.start]
        return groups, int(starts[groups[0]]) if groups else 0

    def _known_columns(self) -> list[str]:
        """Names of the columns to read; raises FileFormatError where there are others, or of another type."""
        schema = self._file.schema_arrow
        types = self._arrow.types
        unknown = [name for name in schema.names if name not in COLUMNS and not _INDEX.fullmatch(name)]
        if unknown:
            raise FileFormatError(
                f"{self.source}: column {', '.join(map(repr, unknown))} is unknown: leave it out or rename it; known "
                f"are {', '.join(COLUMNS)}"
            )
        for name, kind in zip(schema.names, schema.types, strict=True):
            if name in COLUMNS and not (types.is_integer(kind) or types.is_floating(kind)):
                lists = "; lists of particles per event are read from ROOT files" if types.is_nested(kind) else ""
                raise FileFormatError(f"{self.source}: column {name!r} has type {kind}; it needs numbers{lists}")
        known = [name for name in schema.names if name in COLUMNS]
        if len(known) < len(schema.names):
            self.notes.append("passed over pandas' index")
        return known

    def _block(self, batch: Any, first: int) -> ParticleBlock:
        self.read += batch.num_rows
        columns: dict[str, NDArray[np.generic]] = {}
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            if values.null_count:
                row = first + int(np.argmax(values.is_null().to_numpy(zero_copy_only=False)))
                raise FileFormatError(f"{self.source}: row {row}: {name} is null; fill it in or leave the row out")
            columns[name] = values.to_numpy(zero_copy_only=False)
        return ParticleBlock.from_columns(self.source, columns, lambda row: f"row {first + row}")
