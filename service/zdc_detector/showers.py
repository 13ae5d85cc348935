"""The project's file layout for particles with their responses (HDF5): the only reader and writer.

Each row is a shower: ``particles`` (N, 9) float32, ``pdg`` (N,) int32, ``responses`` (N, rows, columns) uint16
(float32 for rates), ``particle_id`` (N,) int64, equal for repeated simulations of one particle. Attributes hold names
and units. Optional are further columns of shape (N,), such as ``cpu_seconds``, ``event`` or ``side``, and ``channels``
(N, C). A file of channel sums or hits alone has no ``responses``. ``calorimeter`` is the whole calorimeter as JSON text
(`zdc_detector.calorimeters`).
"""

import errno
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import h5py
import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import FileFormatError

from zdc_detector.calorimeter import Calorimeter
from zdc_detector.calorimeters import store_calorimeter, stored_calorimeter
from zdc_detector.checks import REQUIRED, UncheckedShowers, find_problems
from zdc_detector.particles import CONDITIONS, UNITS, Particles

#: Bytes of a disk to leave free: more than HDF5 keeps in its caches, compressed blocks and tables.
_KEPT_FREE = 32 << 20

#: Files that `train-zdc convert` converts to this layout.
_CONVERTED = (".npz", ".npy", ".pkl", ".pickle")


@dataclass(frozen=True)
class Showers:
    """Particles and their responses.

    Attributes
    ----------
    particles : N particles.
    responses : Photons per fibre, shape (N, rows, columns), uint16.
    particle_id : int64, shape (N,); equal ids are repeated simulations of one particle.
    calorimeter : The calorimeter of the responses.
    extra : Further columns of length N, by name.
    """

    particles: Particles
    responses: NDArray[np.uint16]
    particle_id: NDArray[np.int64]
    calorimeter: Calorimeter
    extra: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.particle_id)

    def __getitem__(self, rows: slice | NDArray[np.generic]) -> "Showers":
        """Rows by slice, index array or mask."""
        return Showers(
            self.particles[rows],
            self.responses[rows],
            self.particle_id[rows],
            self.calorimeter,
            {name: column[rows] for name, column in self.extra.items()},
        )


def read_showers(path: Path) -> Showers:
    """Read and check one file.

    Raises
    ------
    FileFormatError : the file is not HDF5, or has a problem: the first of `zdc_detector.checks.find_problems`.
    """
    unchecked = read_unchecked(path)
    problems, calorimeter = find_problems(unchecked), unchecked.calorimeter
    if problems or isinstance(calorimeter, str):
        more = f"; {len(problems) - 1} more kinds of problem, `train-zdc check-data` lists them"
        raise FileFormatError(f"{path}: {problems[0]}{more if len(problems) > 1 else ''}")
    data = unchecked.data
    particle_id = data["particle_id"].astype(np.int64)
    extra = {name: values for name, values in data.items() if name not in REQUIRED and len(values) == len(particle_id)}
    particles = Particles(data["pdg"].astype(np.int64), data["particles"].astype(np.float32))
    return Showers(particles, data["responses"].astype(np.uint16, copy=False), particle_id, calorimeter, extra)


def read_unchecked(path: Path) -> UncheckedShowers:
    """Read all data sets of a file without checks.

    Raises
    ------
    FileFormatError : the file cannot be read as HDF5.
    """
    try:
        with h5py.File(path, "r") as file:
            data = {name: node[()] for name, node in file.items() if isinstance(node, h5py.Dataset) and node.ndim}
            names = file["particles"].attrs.get("names") if "particles" in data else None
            if names is not None:
                names = tuple(n if isinstance(n, str) else n.decode() for n in names)
            try:
                calorimeter: Calorimeter | str = stored_calorimeter(file)
            except FileFormatError as error:
                calorimeter = str(error)
            return UncheckedShowers(data, calorimeter, names)
    except OSError as error:
        theirs = "; convert it first: train-zdc convert" if path.suffix in _CONVERTED else ""
        raise FileFormatError(f"{path}: cannot be read as HDF5: {error}{theirs}") from error


class ShowerWriter:
    """Appends blocks of rows to a file in the layout above, which is written completely or not at all.

    It writes to ``<path>.part`` and renames it in `close`. An exception in the ``with`` block deletes it.
    """

    def __init__(
        self, path: Path, calorimeter: Calorimeter, title: str, attributes: Mapping[str, str | int | float] = {}
    ):
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._file = h5py.File(self._part, "w")
        store_calorimeter(self._file, calorimeter)
        self._file.attrs["title"] = title
        self.describe(attributes)
        self._calorimeter = calorimeter

    def __enter__(self) -> "ShowerWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            try:
                self._file.close()
            finally:
                self._part.unlink(missing_ok=True)

    def append(
        self,
        particles: Particles,
        responses: NDArray[np.generic] | None,
        particle_id: NDArray[np.integer],
        extra: Mapping[str, NDArray[np.generic]] = {},
    ) -> None:
        """Add a block. All blocks must have the same `extra` columns; `responses` must be in all blocks or in none.

        Raises
        ------
        OSError : the disk is full.
        """
        columns: dict[str, NDArray[np.generic]] = {
            "particles": particles.conditions,
            "pdg": particles.pdg.astype(np.int32),
            "particle_id": particle_id.astype(np.int64),
            **extra,
        }
        if responses is not None:
            columns["responses"] = responses
        self._check_room(sum(values.nbytes for values in columns.values()))
        for name, values in columns.items():
            if name not in self._file:
                self._create(name, values)
            data = self._file[name]
            start = len(data)
            data.resize(start + len(values), axis=0)
            data[start:] = values

    def _check_room(self, size: int) -> None:
        # A failed write corrupts the memory of the HDF5 library and ends the process: check before writing.
        if shutil.disk_usage(self._part.parent).free < size + _KEPT_FREE:
            raise OSError(errno.ENOSPC, "the disk is full; make room or write elsewhere", str(self._path))

    def _create(self, name: str, values: NDArray[np.generic]) -> None:
        chunk = 64 if values.ndim == 3 else 4096
        data = self._file.create_dataset(
            name,
            shape=(0, *values.shape[1:]),
            maxshape=(None, *values.shape[1:]),
            dtype=values.dtype,
            chunks=(chunk, *values.shape[1:]),
            compression="gzip",
            compression_opts=1,
            shuffle=True,
        )
        if name == "particles":
            data.attrs["names"] = list(CONDITIONS)
            data.attrs["units"] = list(UNITS)
        if name == "responses":
            data.attrs["axes"] = "row = x, column = y"
            data.attrs["unit"] = "photons"
        if name == "channels":
            data.attrs["names"] = list(self._calorimeter.channel_names)
            data.attrs["unit"] = "photons"

    def describe(self, attributes: Mapping[str, str | int | float]) -> None:
        """Add attributes of the file."""
        for name, value in attributes.items():
            self._file.attrs[name] = value

    def close(self) -> None:
        """Finish the file and rename it to its path."""
        self._file.close()
        self._part.replace(self._path)
