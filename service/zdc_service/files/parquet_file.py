"""Particles from a Parquet file with one column per number."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zdc_detector.errors import FileFormatError

from zdc_service.files.blocks import BLOCK_ROWS, COLUMNS, INTEGER_COLUMNS, ParticleBlock, ParticleReader, hep_package

_BUFFER = 1 << 18  # bytes of each column


class ParquetReader(ParticleReader):
    """Numeric columns named as in `COLUMNS`, no nulls; columns of other names are refused."""

    def __init__(self, path: Path, block_rows: int = BLOCK_ROWS):
        super().__init__(path, block_rows)
        parquet = hep_package("pyarrow.parquet", "Parquet files")
        self._arrow = hep_package("pyarrow", "Parquet files")
        try:
            # Read-ahead would hold whole row groups, of which a file may have only one.
            self._file = parquet.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER)
        except (self._arrow.ArrowException, OSError) as error:
            raise FileFormatError(f"{path}: cannot be read as Parquet: {error}") from error
        self._check_schema()

    @property
    def progress(self) -> tuple[int, int]:
        """Rows."""
        return self.read, self._file.metadata.num_rows

    def __iter__(self) -> Iterator[ParticleBlock]:
        with self._file:
            try:
                for batch in self._file.iter_batches(batch_size=self._block_rows):
                    if batch.num_rows:
                        yield self._block(batch)
            except (self._arrow.ArrowException, OSError) as error:
                raise FileFormatError(
                    f"{self.source}: after row {self.read - 1}: {error}; write the file again"
                ) from error

    def _check_schema(self) -> None:
        schema = self._file.schema_arrow
        types = self._arrow.types
        for name, kind in zip(schema.names, schema.types, strict=True):
            if name not in COLUMNS:
                raise FileFormatError(f"{self.source}: column {name!r} is unknown; known are {', '.join(COLUMNS)}")
            if not (types.is_integer(kind) or (types.is_floating(kind) and name not in INTEGER_COLUMNS)):
                wanted = "integers" if name in INTEGER_COLUMNS else "numbers"
                raise FileFormatError(f"{self.source}: column {name!r} has type {kind}; it needs {wanted}")

    def _block(self, batch: Any) -> ParticleBlock:
        first = self.read
        self.read += batch.num_rows
        columns: dict[str, NDArray[np.generic]] = {}
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            if values.null_count:
                row = first + int(np.argmax(values.is_null().to_numpy(zero_copy_only=False)))
                raise FileFormatError(f"{self.source}: row {row}: {name} is null; fill it in or leave the row out")
            columns[name] = values.to_numpy(zero_copy_only=False)
        return ParticleBlock.from_columns(self.source, columns, lambda row: f"row {first + row}")
