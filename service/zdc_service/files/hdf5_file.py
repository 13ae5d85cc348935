"""Particles from the project's own HDF5 files: simulated again, say with a model, the responses can be compared."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from zdc_detector.errors import FileFormatError
from zdc_detector.particles import CONDITIONS

from zdc_service.files.blocks import BLOCK_ROWS, SOURCE_COLUMNS, ParticleBlock, ParticleReader

_COLUMNS = {"pdg": 1, "particle_id": 1, "particles": 2}


class Hdf5Reader(ParticleReader):
    """``particles`` and ``pdg`` of the layout of `zdc_detector.showers`, each `particle_id` once.

    Rows of one `particle_id` are repeated simulations of one particle: the first stands for all.
    """

    def __init__(self, path: Path, block_rows: int = BLOCK_ROWS):
        super().__init__(path, block_rows)
        try:
            self._file = h5py.File(path, "r")
        except OSError as error:
            raise FileFormatError(f"{path}: cannot be read as HDF5: {error}") from error
        self._check_layout()
        ids = self._file["particle_id"][()]
        self._rows = np.sort(np.unique(ids, return_index=True)[1])
        self.count = len(self._rows)
        if len(self._rows) < len(ids):
            self.notes.append(f"its {len(ids)} rows are repeated simulations; each particle is taken once")

    @property
    def progress(self) -> tuple[int, int]:
        """Particles."""
        return self.read, len(self._within(len(self._rows)))

    def __iter__(self) -> Iterator[ParticleBlock]:
        wanted = self._within(len(self._rows))
        with self._file:
            for start in wanted[:: self._block_rows]:
                rows = self._rows[start : min(start + self._block_rows, wanted.stop)]
                self.read += len(rows)
                yield self._block(rows)

    def _block(self, rows: NDArray[np.intp]) -> ParticleBlock:
        try:
            span = slice(int(rows[0]), int(rows[-1]) + 1)  # h5py reads ranges far faster than lists of rows
            taken = rows - rows[0]
            conditions = self._file["particles"][span][taken]
            columns = {name: self._file[name][span][taken] for name in ("pdg", *self._source_columns())}
        except OSError as error:
            raise FileFormatError(f"{self.source}: rows from {rows[0]}: {error}; write the file again") from error
        columns |= {name: conditions[:, i] for i, name in enumerate(CONDITIONS)}
        return ParticleBlock.from_columns(self.source, columns, lambda row: f"row {rows[row]}")

    def _source_columns(self) -> list[str]:
        return [name for name in SOURCE_COLUMNS if name in self._file]

    def _check_layout(self) -> None:
        for name, dimensions in _COLUMNS.items():
            found = self._file.get(name)
            if not isinstance(found, h5py.Dataset) or found.ndim != dimensions:
                raise FileFormatError(
                    f"{self.source}: holds no data set {name!r} of {dimensions} dimensions; particles are read from "
                    "files of simulated or generated responses, in the project's layout"
                )
        if self._file["particles"].shape[1] != len(CONDITIONS):
            raise FileFormatError(
                f"{self.source}: particles has {self._file['particles'].shape[1]} columns; it needs "
                f"{', '.join(CONDITIONS)}"
            )
        lengths = {name: len(self._file[name]) for name in (*_COLUMNS, *self._source_columns())}
        if len(set(lengths.values())) > 1:
            counted = ", ".join(f"{name} has {length}" for name, length in lengths.items())
            raise FileFormatError(f"{self.source}: numbers of rows differ: {counted}; write the file again")
