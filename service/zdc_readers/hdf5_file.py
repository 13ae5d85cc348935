"""Particles from HDF5 files: files of responses, to simulate their particles again, and files of columns."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import FileFormatError
from zdc_common.words import counted, short
from zdc_detector.frames import Frame
from zdc_detector.particles import CONDITIONS

from zdc_readers.blocks import (
    BLOCK_ROWS,
    COLUMNS,
    SOURCE_COLUMNS,
    STATUS,
    ParticleBlock,
    ParticleReader,
    cut,
    known_columns,
)

_OF_SHOWERS = {"pdg": 1, "particle_id": 1, "particles": 2}


class Hdf5Reader(ParticleReader):
    """Reads ``particles`` and ``pdg`` in the layout of `zdc_detector.showers`, or data sets with names from `COLUMNS`.

    Rows with the same `particle_id` are repeated simulations of one particle, which is read once. In a file without
    `particle_id`, each row is a particle.
    """

    def __init__(self, path: Path, block_rows: int = BLOCK_ROWS, statuses: tuple[int, ...] | None = None):
        super().__init__(path, block_rows, statuses)
        try:
            self._file = h5py.File(path, "r")
            table = self._file.get("particles")
            compound = isinstance(table, h5py.Dataset) and table.dtype.names is not None
            self.frame = self._stated_frame()
            self._of_showers = "particle_id" in self._file or (table is not None and not compound)
            self._columns = self._names_of_showers() if self._of_showers else self._names_of_columns()
            self._rows = self._first_rows()
        except (OSError, RuntimeError, KeyError) as error:
            raise FileFormatError(f"{path}: cannot be read as HDF5: {short(error)}") from error
        self._knows(self._columns, len(self._rows))

    @property
    def progress(self) -> tuple[int, int]:
        """Number of particles read, and in all."""
        return self.read, len(self._within(len(self._rows)))

    def __iter__(self) -> Iterator[ParticleBlock]:
        wanted = self._within(len(self._rows))
        with self._file:
            for start in wanted[:: self._block_rows]:
                rows = self._rows[start : min(start + self._block_rows, wanted.stop)]
                self.read += len(rows)
                yield from self._block(rows)

    def _block(self, rows: NDArray[np.intp]) -> Iterator[ParticleBlock]:
        try:
            span = slice(int(rows[0]), int(rows[-1]) + 1)  # h5py reads ranges far faster than lists of rows
            taken = rows - rows[0]
            columns = {name: self._file[name][span][taken] for name in self._columns}
            if self._of_showers:
                conditions = self._file["particles"][span][taken]
                columns |= {name: conditions[:, i] for i, name in enumerate(CONDITIONS)}
        except (OSError, RuntimeError) as error:
            raise FileFormatError(
                f"{self.source}: rows from {rows[0]}: {short(error)}; write the file again"
            ) from error
        yield from self._rows_of_table(columns, lambda row: f"row {rows[row]}")

    def _stated_frame(self) -> Frame | None:
        """The attribute ``frame`` of the file."""
        stated = self._file.attrs.get("frame")
        if stated is None:
            return None
        text = stated.decode("utf-8", "replace") if isinstance(stated, bytes) else str(stated)
        if text not in set(Frame):
            raise FileFormatError(
                f"{self.source}: the attribute frame is {short(text)!r}; it must be {' or '.join(Frame)}, or absent"
            )
        return Frame(text)

    def _first_rows(self) -> NDArray[np.intp]:
        """The first row of each particle."""
        if "particle_id" not in self._file:
            return np.arange(len(self._file["pdg"]))
        ids = self._file["particle_id"][()]
        rows = np.sort(np.unique(ids, return_index=True)[1])
        if len(rows) < len(ids):
            self.notes.append(f"its {len(ids)} rows are repeated simulations; each particle is read once")
        return rows

    def _names_of_showers(self) -> list[str]:
        for name, dimensions in _OF_SHOWERS.items():
            self._check(name, dimensions)
        if self._file["particles"].shape[1] != len(CONDITIONS):
            raise FileFormatError(
                f"{self.source}: particles has {self._file['particles'].shape[1]} columns; it must have "
                f"{', '.join(CONDITIONS)}"
            )
        names = ["pdg", *(name for name in (*SOURCE_COLUMNS, STATUS) if name in self._file)]
        self._check_lengths([*_OF_SHOWERS, *names[1:]])
        return names

    def _names_of_columns(self) -> list[str]:
        groups = [name for name, item in self._file.items() if isinstance(item, h5py.Group)]
        tables = [name for name, item in self._file.items() if isinstance(item, h5py.Dataset) and item.dtype.names]
        if "pdg" not in self._file and (groups or tables):
            raise FileFormatError(
                f"{self.source}: there is no data set 'pdg', only {cut([*groups, *tables])}; groups and compound types "
                "are not read. Write pdg, px, py and pz as one-dimensional data sets at the top level"
            )
        names = known_columns(self.source, list(self._file), self.notes, "data set")
        for name in names:
            self._check(name, 1)
        self._check_lengths(names)
        return names

    def _check(self, name: str, dimensions: int) -> None:
        found = self._file.get(name)
        if not isinstance(found, h5py.Dataset) or found.ndim != dimensions:
            raise FileFormatError(
                f"{self.source}: there is no data set {name!r} with {counted(dimensions, 'dimension')}; particles are "
                f"read from files of responses, and from data sets with the names {', '.join(COLUMNS)}"
            )
        if found.dtype.kind not in "iuf":
            raise FileFormatError(
                f"{self.source}: data set {name!r} has type {short(found.dtype)}; it must have numbers"
            )

    def _check_lengths(self, names: list[str]) -> None:
        lengths = {name: len(self._file[name]) for name in names}
        if len(set(lengths.values())) > 1:
            differing = ", ".join(f"{name} has {length}" for name, length in lengths.items())
            raise FileFormatError(f"{self.source}: numbers of rows differ: {differing}; write the file again")
