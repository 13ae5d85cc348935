"""Selected rows of a file in the layout of `zdc_detector.showers`; other rows are not read."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import FileFormatError, InvalidInputError

from zdc_detector.calorimeter import Calorimeter
from zdc_detector.calorimeters import stored_calorimeter
from zdc_detector.checks import UncheckedShowers, layout_problems
from zdc_detector.hits import Hits
from zdc_detector.particles import Particles

#: Selects rows: takes `particle_id` of all rows and returns row numbers, ascending.
Choose = Callable[[NDArray[np.int64]], NDArray[np.intp]]


@dataclass(frozen=True)
class StoredRows:
    """Rows of a file, unchanged.

    Attributes
    ----------
    rows : Numbers of the rows in the file, shape (N,).
    particles, particle_id : As in `Showers`.
    responses : Photon counts (integers) or rates (float32), shape (N, rows, columns).
    calorimeter : The calorimeter of the responses.
    attributes : Attributes of the file.
    """

    rows: NDArray[np.intp]
    particles: Particles
    particle_id: NDArray[np.int64]
    responses: NDArray[np.generic]
    calorimeter: Calorimeter
    attributes: Mapping[str, str | int | float]


def read_rows(path: Path, choose: Choose = lambda particle_id: np.arange(len(particle_id))) -> StoredRows:
    """Read the selected rows; hits are converted to responses.

    Raises
    ------
    FileFormatError : the file is not in the project's layout, or has no responses.
    InvalidInputError : raised by `choose`; the name of the file is added to the message.
    """
    with _opened(path) as file:
        calorimeter = _check(file)
        attributes = file_attributes(file)
        particle_id = file["particle_id"][()].astype(np.int64)
        try:
            rows = choose(particle_id)
        except InvalidInputError as error:
            raise InvalidInputError(f"{path}: {error}") from error
        conditions = np.ascontiguousarray(file["particles"][rows], dtype=np.float32)
        return StoredRows(
            rows,
            Particles(file["pdg"][rows].astype(np.int64), conditions),
            particle_id[rows],
            file["responses"][rows] if "responses" in file else _filled(file["hits"], rows, calorimeter),
            calorimeter,
            attributes,
        )


def file_attributes(file: h5py.File) -> dict[str, str | int | float]:
    """The attributes of the file, as plain Python values."""
    return {name: value.item() if isinstance(value, np.generic) else str(value) for name, value in file.attrs.items()}


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    if not path.is_file():
        raise FileFormatError(f"{path}: no such file")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, FileFormatError) as error:
        why = f"cannot be read as HDF5, which zdc simulate --output NAME.h5 writes: {error}"
        why = why if isinstance(error, OSError) else str(error)
        raise FileFormatError(f"{path}: {why}") from error


def _check(file: h5py.File) -> Calorimeter:
    """The calorimeter of the file; raises FileFormatError if a data set is missing or has another shape."""
    calorimeter = stored_calorimeter(file)
    data = {name: node for name, node in file.items() if isinstance(node, h5py.Dataset) and node.ndim}
    if "responses" not in data and "hits" in file and "particle_id" in data:
        _check_hits(file["hits"])
        # A stand-in of the right shape without memory: `layout_problems` checks shapes only.
        data["responses"] = np.broadcast_to(np.uint16(0), (len(file["hits/offsets"]) - 1, *calorimeter.shape))
    elif "responses" not in data and "channels" in data:
        raise FileFormatError("holds channel sums only; simulate with --what response or --what hits")
    problems = layout_problems(UncheckedShowers(data, calorimeter))
    if problems:
        raise FileFormatError(str(problems[0]))
    return calorimeter


def _check_hits(hits: h5py.Group | h5py.Dataset) -> None:
    """Raise FileFormatError if one of the three data sets of hits is missing or they do not fit each other."""
    for name, kinds in (("offsets", "iu"), ("fibre", "iu"), ("photons", "iuf")):
        found = hits.get(name) if isinstance(hits, h5py.Group) else None
        if not isinstance(found, h5py.Dataset) or found.ndim != 1 or found.dtype.kind not in kinds:
            raise FileFormatError(f"holds no data set 'hits/{name}' of numbers and one dimension; write the file again")
    offsets, entries = hits["offsets"][()].astype(np.float64), len(hits["fibre"])
    if len(hits["photons"]) != entries:
        raise FileFormatError(
            f"hits/fibre has {entries} entries and hits/photons {len(hits['photons'])}; they are pairs"
        )
    if not len(offsets) or offsets[0] != 0 or offsets[-1] != entries or (np.diff(offsets) < 0).any():
        raise FileFormatError(
            f"hits/offsets must rise from 0 to {entries}, the number of hits, in one step for each row; write the file "
            "again"
        )


def _filled(hits: h5py.Group, rows: NDArray[np.intp], calorimeter: Calorimeter) -> NDArray[np.generic]:
    if not len(rows):
        return np.zeros((0, *calorimeter.shape), dtype=hits["photons"].dtype)
    offsets = hits["offsets"][()].astype(np.uint64)
    first, last = int(offsets[rows[0]]), int(offsets[rows[-1] + 1])
    fibre, photons = hits["fibre"][first:last], hits["photons"][first:last]
    wrong = np.flatnonzero((fibre < 0) | (fibre >= calorimeter.fibres))
    if len(wrong):
        row = int(np.searchsorted(offsets, first + wrong[0], side="right")) - 1
        raise FileFormatError(
            f"row {row}: a hit is in fibre {fibre[wrong[0]]}; {calorimeter.name} has 0 to {calorimeter.fibres - 1}"
        )
    spanned = Hits(offsets[rows[0] : rows[-1] + 2] - offsets[rows[0]], fibre, photons)
    return spanned.take(rows - rows[0]).to_images(calorimeter.shape)
