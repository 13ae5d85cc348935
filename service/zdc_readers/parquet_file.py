"""Particles from a Parquet file: numeric columns, or lists of particles per event."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import FileFormatError
from zdc_common.optional_packages import hep_package
from zdc_common.words import short

from zdc_readers.blocks import (
    BLOCK_ROWS,
    COLUMNS,
    ParticleBlock,
    ParticleReader,
    known_columns,
)
from zdc_readers.events import Events

_BUFFER = 1 << 18  # bytes of each column

#: Events per batch; an event has a few hundred particles.
_EVENTS = 512
#: Every number of this many decimal digits fits into int64.
_INT64_DIGITS = 18


class ParquetReader(ParticleReader):
    """Reads numeric columns with names from `COLUMNS`, without nulls; ignores others, with a remark in `notes`.

    If ``pdg`` is a list, a row is an event, as in `RootReader`. The fields of a column of records with a field ``pdg``
    (as written by `awkward.zip`) are read like columns.
    """

    def __init__(self, path: Path, block_rows: int = BLOCK_ROWS, statuses: tuple[int, ...] | None = None):
        super().__init__(path, block_rows, statuses)
        parquet = hep_package("pyarrow.parquet", "Parquet files")
        self._arrow = hep_package("pyarrow", "Parquet files")
        try:
            # No read-ahead: it would keep whole row groups in memory, and a file may be a single row group.
            self._file = parquet.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER)
            self._record, self._types = self._layout(self._file.schema_arrow)
        except (self._arrow.ArrowException, OSError, UnicodeDecodeError) as error:
            raise FileFormatError(f"{path}: cannot be read as Parquet: {short(error)}") from error
        self._columns = known_columns(path, list(self._types), self.notes)
        self._check_types()
        self._knows(self._columns, int(self._file.metadata.num_rows))
        self._rows_read = 0

    @property
    def progress(self) -> tuple[int, int]:
        """Rows read, and in all."""
        return self._rows_read, len(self._within(self._file.metadata.num_rows))

    def __iter__(self) -> Iterator[ParticleBlock]:
        wanted = self._within(self._file.metadata.num_rows)
        groups, first = self._groups(wanted)
        size = min(self._block_rows, _EVENTS) if self.has_whole_events else self._block_rows
        events = None
        if self.has_whole_events:
            events = Events(self.source, self.skipped, self.calorimeter, self.frame, self._block_rows, self._chosen)
        in_file = [name for name in self._columns if name not in self._record_fields]
        in_file += [self._record] if self._record else []
        with self._file:
            try:
                for batch in self._file.iter_batches(size, row_groups=groups, columns=in_file):
                    skipped = max(0, wanted.start - first)
                    chosen = batch.slice(skipped, max(0, wanted.stop - first - skipped))
                    self._rows_read += chosen.num_rows
                    if chosen.num_rows and events is not None:
                        yield from self._blocks(events, chosen, first)
                    elif chosen.num_rows:
                        yield from self._block(chosen, first + skipped)
                    first += batch.num_rows
            except (self._arrow.ArrowException, OSError, UnicodeDecodeError) as error:
                raise FileFormatError(
                    f"{self.source}: after row {first - 1}: {short(error)}; write the file again"
                ) from error

    def _groups(self, wanted: range) -> tuple[list[int], int]:
        """The row groups that contain the wanted rows, and the first row of these groups."""
        metadata = self._file.metadata
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        starts = np.cumsum([0, *sizes])
        groups = [i for i, size in enumerate(sizes) if starts[i] < wanted.stop and starts[i] + size > wanted.start]
        return groups, int(starts[groups[0]]) if groups else 0

    def _layout(self, schema: Any) -> tuple[str, dict[str, Any]]:
        """Name of the column of records with the particles ("" if there is none), and the type of each column."""
        names = list(schema.names)
        twice = next((name for name in COLUMNS if names.count(name) > 1), None)
        if twice is not None:
            raise FileFormatError(f"{self.source}: column {twice!r} occurs twice; remove or rename one of them")
        kinds = dict(zip(names, schema.types, strict=True))
        self._record_fields: set[str] = set()
        if "pdg" in kinds:
            return "", kinds
        for name, kind in kinds.items():
            inner = kind.value_type if self._is_list(kind) else kind
            if self._arrow.types.is_struct(inner) and inner.get_field_index("pdg") >= 0:
                wrap = self._arrow.list_ if self._is_list(kind) else lambda one: one
                fields = {inner.field(i).name: wrap(inner.field(i).type) for i in range(inner.num_fields)}
                self._record_fields = set(fields)
                twice = next((key for key in COLUMNS if key in fields and key in kinds), None)
                if twice is not None:
                    raise FileFormatError(
                        f"{self.source}: {twice!r} is both a column and a field of {name!r}; remove one of them"
                    )
                return name, {key: value for key, value in kinds.items() if key != name} | fields
        return "", kinds

    def _check_types(self) -> None:
        """Raise FileFormatError if a column to be read is not numeric."""
        self.has_whole_events = self._is_list(self._types["pdg"])
        for name in self._columns:
            kind = self._types[name]
            number = kind.value_type if self.has_whole_events and self._is_list(kind) else kind
            if self._number(number) is None:
                raise FileFormatError(f"{self.source}: column {name!r} has type {short(kind)}; it must have numbers")

    def _number(self, kind: Any) -> Any:
        """The Arrow type to which numbers are converted for NumPy; None if the type is not numeric."""
        types = self._arrow.types
        if types.is_dictionary(kind):
            return self._number(kind.value_type)
        if types.is_decimal(kind):
            return self._arrow.int64() if kind.scale == 0 and kind.precision <= _INT64_DIGITS else self._arrow.float64()
        return kind if types.is_integer(kind) or types.is_floating(kind) else None

    def _is_list(self, kind: Any) -> bool:
        types = self._arrow.types
        return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))

    def _plain(self, values: Any) -> Any:
        """A column with decimals and dictionaries converted to plain numbers."""
        kind = values.type
        if self._is_list(kind):
            number = self._number(kind.value_type)
            return values if number in (None, kind.value_type) else values.cast(self._arrow.list_(number))
        number = self._number(kind)
        return values if number in (None, kind) else values.cast(number)

    def _blocks(self, events: Events, batch: Any, first: int) -> Iterator[ParticleBlock]:
        awkward = hep_package("awkward", "Lists of particles")
        names = batch.schema.names
        table = {name: awkward.from_arrow(self._plain(batch.column(name))) for name in names}
        if self._record:
            records = table.pop(self._record)
            table |= {name: records[name] for name in self._columns if name in self._record_fields}
        columns, counts = events.numbers({name: table[name] for name in self._columns}, first)
        self.read += len(columns["pdg"])
        if counts is not None:
            yield from events.blocks(columns, counts, first)

    def _block(self, batch: Any, first: int) -> Iterator[ParticleBlock]:
        self.read += batch.num_rows
        table = dict(zip(batch.schema.names, batch.columns, strict=True))
        if self._record:
            records = table.pop(self._record)
            fields = zip((field.name for field in records.type), records.flatten(), strict=True)  # flatten keeps nulls
            table |= {name: values for name, values in fields if name in self._columns}
        columns: dict[str, NDArray[np.generic]] = {}
        for name in self._columns:
            values = table[name]
            if values.null_count:
                row = first + int(np.argmax(values.is_null().to_numpy(zero_copy_only=False)))
                raise FileFormatError(f"{self.source}: row {row}: {name} is null; write a number, or leave the row out")
            columns[name] = self._plain(values).to_numpy(zero_copy_only=False)
        yield from self._rows_of_table(columns, lambda row: f"row {first + row}")
