"""Write responses to Parquet, as a table with lists."""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zdc_common.optional_packages import hep_package
from zdc_detector.particles import CONDITIONS

from zdc_service.writers.results import ResultWriter
from zdc_service.writers.rows import Rows

#: Key of the schema's metadata with the attributes, JSON.
METADATA = b"zdc_fastsim"
#: Key of the file's metadata with the counts, JSON. They are known only at the end, when the schema is already written.
COUNTS = b"zdc_fastsim_counts"


class ParquetWriter(ResultWriter):
    """Writes a table with one row per response.

    Columns are the nine conditions (float), ``pdg`` (int32), ``particle_id`` and ``row`` (int64), ``side`` (string, A
    or C), ``channels`` (C numbers), ``event`` and ``barcode`` if the source has them, and ``responses`` (rows *
    columns numbers, row by row) or the lists ``hits_fibre`` and ``hits_photons``. The metadata `METADATA` has the
    model, version, seed, calorimeter and units as JSON; `COUNTS` has the numbers of particles read, left out and
    skipped.
    """

    packages, purpose = ("pyarrow", "pyarrow.parquet"), "Parquet files"

    _file: Any = None

    def _write(self, rows: Rows) -> None:
        arrow, parquet = (hep_package(name, self.purpose) for name in self.packages)
        columns: dict[str, Any] = {name: rows.particles.conditions[:, i] for i, name in enumerate(CONDITIONS)}
        columns |= {
            "pdg": rows.particles.pdg.astype(np.int32),
            "particle_id": rows.particle_id,
            "row": rows.row,
            "side": rows.side.astype("U1"),
            "channels": _fixed_lists(arrow, rows.channels),
            **rows.columns,
        }
        if rows.response is not None:
            columns["responses"] = _fixed_lists(arrow, rows.response)
        if rows.hits is not None:
            offsets = arrow.array(rows.hits.offsets.astype(np.int32))
            columns["hits_fibre"] = arrow.ListArray.from_arrays(offsets, arrow.array(rows.hits.fibre))
            columns["hits_photons"] = arrow.ListArray.from_arrays(offsets, arrow.array(rows.hits.photons))
        table = arrow.table(columns).replace_schema_metadata({METADATA: self._about.as_json()})
        if self._file is None:
            self._file = parquet.ParquetWriter(self._path, table.schema, compression="zstd")
        if len(rows):
            self._file.write_table(table)

    def _close(self) -> None:
        if self._file is not None:
            self._file.add_key_value_metadata({COUNTS: json.dumps(self._counts)})
            self._file.close()


def _fixed_lists(arrow: Any, values: NDArray[np.generic]) -> Any:
    """A column with a list of the same length in each row."""
    length = int(np.prod(values.shape[1:]))
    return arrow.FixedSizeListArray.from_arrays(arrow.array(np.ascontiguousarray(values).reshape(-1)), length)
