"""Particles from a Parquet file with one column per number."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zdc_detector.errors import FileFormatError

from zdc_service.files.blocks import BLOCK_ROWS, COLUMNS, ParticleBlock, ParticleReader, hep_package
from zdc_service.files.events import Events

_BUFFER = 1 << 18  # bytes of each column


#: Read at a time; one has some hundred particles.
_EVENTS = 512
#: What pandas adds for the index of a DataFrame, say one whose rows were chosen from another's.
_INDEX = re.compile(r"__index_level_\d+__")


class ParquetReader(ParticleReader):
    """Numeric columns named as in `COLUMNS`, no nulls; columns of other names are refused, but for pandas' index.

    Where ``pdg`` is a list, a row is an event, as in `RootReader`.
    """

    def __init__(self, path: Path, block_rows: int = BLOCK_ROWS):
        super().__init__(path, block_rows)
        parquet = hep_package("pyarrow.parquet", "Parquet files")
        self._arrow = hep_package("pyarrow", "Parquet files")
        try:
            # Read-ahead would hold whole row groups, of which a file may have only one.
            self._file = parquet.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER)
        except (self._arrow.ArrowException, OSError) as error:
            raise FileFormatError(f"{path}: cannot be read as Parquet: {error}") from error
        self._columns = self._known_columns()
        if not self.has_whole_events:
            self.count = int(self._file.metadata.num_rows)
        self._rows_read = 0

    @property
    def progress(self) -> tuple[int, int]:
        """Rows."""
        return self._rows_read, len(self._within(self._file.metadata.num_rows))

    def __iter__(self) -> Iterator[ParticleBlock]:
        wanted = self._within(self._file.metadata.num_rows)
        groups, first = self._groups(wanted)
        size = min(self._block_rows, _EVENTS) if self.has_whole_events else self._block_rows
        events = Events(self.source, self.skipped, self._block_rows) if self.has_whole_events else None
        with self._file:
            try:
                for batch in self._file.iter_batches(size, row_groups=groups, columns=self._columns):
                    skipped = max(0, wanted.start - first)
                    chosen = batch.slice(skipped, max(0, wanted.stop - first - skipped))
                    self._rows_read += chosen.num_rows
                    if chosen.num_rows and events is not None:
                        yield from self._blocks(events, chosen, first)
                    elif chosen.num_rows:
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
        kinds = {name: kind for name, kind in zip(schema.names, schema.types, strict=True) if name in COLUMNS}
        self.has_whole_events = "pdg" in kinds and _is_list(types, kinds["pdg"])
        for name, kind in kinds.items():
            number = kind.value_type if self.has_whole_events and _is_list(types, kind) else kind
            if not (types.is_integer(number) or types.is_floating(number)):
                raise FileFormatError(f"{self.source}: column {name!r} has type {kind}; it needs numbers")
        known = [name for name in schema.names if name in COLUMNS]
        if len(known) < len(schema.names):
            self.notes.append("passed over pandas' index")
        return known

    def _blocks(self, events: Events, batch: Any, first: int) -> Iterator[ParticleBlock]:
        table = hep_package("awkward", "Lists of particles").from_arrow(batch)
        columns, counts = events.numbers({name: table[name] for name in self._columns}, first)
        self.read += len(columns["pdg"])
        if counts is not None:
            yield from events.blocks(columns, counts, first)

    def _block(self, batch: Any, first: int) -> ParticleBlock:
        self.read += batch.num_rows
        columns: dict[str, NDArray[np.generic]] = {}
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            if values.null_count:
                row = first + int(np.argmax(values.is_null().to_numpy(zero_copy_only=False)))
                raise FileFormatError(f"{self.source}: row {row}: {name} is null; fill it in or leave the row out")
            columns[name] = values.to_numpy(zero_copy_only=False)
        return ParticleBlock.from_columns(self.source, columns, lambda row: f"row {first + row}")


def _is_list(types: Any, kind: Any) -> bool:
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))
