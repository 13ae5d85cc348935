"""The project's one file layout for particles with their responses (HDF5), read and written here only.

One row a shower: ``particles`` (N, 9) float32, ``pdg`` (N,) int32, ``responses`` (N, rows, columns) uint16
(float32 for raw rates), ``particle_id`` (N,) int32, equal for repeated simulations of one particle. Names and
units stand in the attributes. Further one-number-a-row columns (``cpu_seconds``, ``event``, ``side`` ...) may
stand beside them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import h5py
import numpy as np
from numpy.typing import NDArray

from zdc_detector.calorimeter import CALORIMETERS, Calorimeter
from zdc_detector.errors import FileFormatError
from zdc_detector.particles import CONDITIONS, MASS, MASS_TOLERANCE, UNITS, Particles, mass_and_charge

_REQUIRED = {"particles": 2, "pdg": 1, "responses": 3, "particle_id": 1}


@dataclass(frozen=True)
class Showers:
    """Particles and their responses.

    Attributes
    ----------
    particles : N particles.
    responses : Photons per fibre, shape (N, rows, columns), uint16.
    particle_id : int32, shape (N,); equal ids are repeated simulations of one particle.
    calorimeter : Whose face it is.
    extra : Further columns of length N, by name.
    """

    particles: Particles
    responses: NDArray[np.uint16]
    particle_id: NDArray[np.int32]
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


def check_showers(showers: Showers) -> None:
    """Raise FileFormatError, naming the first bad row, for values that cannot be showers.

    Checked: shapes, finite conditions, masses in MeV that agree with the PDG table.
    """
    n = len(showers)
    lengths = {"pdg": len(showers.particles.pdg), "particles": len(showers.particles.conditions)}
    lengths["responses"] = len(showers.responses)
    for name, length in lengths.items():
        if length != n:
            raise FileFormatError(f"{name} has {length} rows, particle_id has {n}; every column needs one per shower")
    if showers.responses.shape[1:] != showers.calorimeter.shape:
        raise FileFormatError(
            f"responses are {showers.responses.shape[1:]}, {showers.calorimeter.name} is {showers.calorimeter.shape}"
        )
    conditions = showers.particles.conditions
    finite = np.isfinite(conditions)
    if not finite.all():
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        raise FileFormatError(f"row {row}: {CONDITIONS[column]} is {conditions[row, column]}; remove or repair the row")
    masses = np.array([mass_and_charge(int(code))[0] for code in np.unique(showers.particles.pdg)])
    expected = masses[np.unique(showers.particles.pdg, return_inverse=True)[1]]
    wrong = np.abs(conditions[:, MASS] - expected) > MASS_TOLERANCE * expected + 1e-3
    if wrong.any():
        row = int(np.argmax(wrong))
        raise FileFormatError(
            f"row {row}: mass = {conditions[row, MASS]:g} MeV, the PDG table has {expected[row]:g} MeV for "
            f"{showers.particles.pdg[row]}; masses are in MeV, are these GeV?"
        )


def read_showers(path: Path, calorimeter: Calorimeter | None = None) -> Showers:
    """Read and check one file.

    Raises
    ------
    FileFormatError : not HDF5, a data set missing or of another shape, or a row that cannot be a shower.
    """
    try:
        with h5py.File(path, "r") as file:
            return _read(file, calorimeter)
    except OSError as error:
        raise FileFormatError(f"{path}: cannot be read as HDF5: {error}") from error
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from None


def _read(file: h5py.File, calorimeter: Calorimeter | None) -> Showers:
    for name, dimensions in _REQUIRED.items():
        if name not in file:
            raise FileFormatError(f"data set {name!r} is missing; the layout needs {', '.join(_REQUIRED)}")
        if file[name].ndim != dimensions:
            raise FileFormatError(f"data set {name!r} has shape {file[name].shape}; it needs {dimensions} dimensions")
    if file["particles"].shape[1] != len(CONDITIONS):
        raise FileFormatError(f"particles has {file['particles'].shape[1]} columns; it needs {', '.join(CONDITIONS)}")
    names = file["particles"].attrs.get("names")
    if names is not None and tuple(n if isinstance(n, str) else n.decode() for n in names) != CONDITIONS:
        raise FileFormatError(f"particles has columns {list(names)}; they must be {', '.join(CONDITIONS)}")
    if calorimeter is None:
        named = str(file.attrs.get("calorimeter", "ZN"))
        if named not in CALORIMETERS:
            raise FileFormatError(f"calorimeter {named!r} is not known; known are {', '.join(CALORIMETERS)}")
        calorimeter = CALORIMETERS[named]
    responses = as_counts(file["responses"][()])
    n = len(responses)
    extra = {k: v[()] for k, v in file.items() if k not in _REQUIRED and v.shape == (n,)}
    particles = Particles(file["pdg"][()].astype(np.int64), file["particles"][()].astype(np.float32))
    showers = Showers(particles, responses, file["particle_id"][()].astype(np.int32), calorimeter, extra)
    check_showers(showers)
    return showers


def as_counts(responses: NDArray[np.generic]) -> NDArray[np.uint16]:
    """Photon counts of any numeric type as uint16.

    Raises
    ------
    FileFormatError : a count is NaN, negative, fractional or above 65535; names the row.
    """
    if responses.dtype == np.uint16:
        return responses.astype(np.uint16, copy=False)
    values = responses.astype(np.float64)
    for bad, text in (
        (~np.isfinite(values), "is not finite"),
        (values < 0, "is negative"),
        (values > np.iinfo(np.uint16).max, "is above 65535"),
        (values != np.rint(values), "is not a whole number of photons"),
    ):
        if bad.any():
            where = np.argwhere(bad)[0]
            value = values[tuple(where)]
            raise FileFormatError(f"row {where[0]}: a photon count of {value:g} {text}")
    return values.astype(np.uint16)


class ShowerWriter:
    """Append blocks of rows to a file in the layout above; the file appears whole or not at all.

    Writes to ``<path>.part`` and renames it in `close`; leaving the ``with`` block by an exception removes it.
    """

    def __init__(self, path: Path, calorimeter: Calorimeter, title: str, attributes: Mapping[str, str | int] = {}):
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._file = h5py.File(self._part, "w")
        self._file.attrs["calorimeter"] = calorimeter.name
        self._file.attrs["title"] = title
        for name, value in attributes.items():
            self._file.attrs[name] = value
        self._shape = calorimeter.shape

    def __enter__(self) -> "ShowerWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self._file.close()
            self._part.unlink(missing_ok=True)

    def append(
        self,
        particles: Particles,
        responses: NDArray[np.generic],
        particle_id: NDArray[np.integer],
        extra: Mapping[str, NDArray[np.generic]] = {},
    ) -> None:
        """Add a block; every block needs the same `extra` columns."""
        columns: dict[str, NDArray[np.generic]] = {
            "particles": particles.conditions,
            "pdg": particles.pdg.astype(np.int32),
            "responses": responses,
            "particle_id": particle_id.astype(np.int32),
            **extra,
        }
        for name, values in columns.items():
            if name not in self._file:
                self._create(name, values)
            data = self._file[name]
            start = len(data)
            data.resize(start + len(values), axis=0)
            data[start:] = values

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

    def close(self) -> None:
        """Finish the file and give it its name."""
        self._file.close()
        self._part.replace(self._path)
