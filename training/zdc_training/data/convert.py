"""Conversion of the ALICE collaboration's files to the project's layout (`train-zdc convert`).

Their format: responses in an npz (``arr_0``, (N, rows, columns), of ZN (N, 44, 44)), particles in an npz (``arr_0``) or
a pickled pandas table with the columns Energy, Vx, Vy, Vz, Px, Py, Pz, mass, charge and sometimes pdg [GeV, cm, GeV/c,
MeV, e]. They have few particles, each simulated many times. One npz file can also have both arrays, ``particles`` and
``responses``.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import ConfigError, FileFormatError
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.checks import UncheckedShowers, find_problems, particle_numbers
from zdc_detector.particles import Particles
from zdc_detector.showers import ShowerWriter

from zdc_training.data.collaboration import read_array, read_particles
from zdc_training.data.oddities import PHOTON_FILTER, data_warnings

_BLOCK = 2000
_SUFFIXES = (".h5", ".hdf5")


@dataclass(frozen=True)
class Conversion:
    """Summary of a conversion.

    Attributes
    ----------
    rows, dropped, particles : Rows read, rows dropped by the photon sum, distinct particles written.
    faint : Rows written with a photon sum below `PHOTON_FILTER`.
    notes : Remarks on columns, species and showers.
    """

    output: Path
    rows: int
    dropped: int
    particles: int
    minimum_photons: int
    faint: int
    notes: tuple[str, ...]

    def __str__(self) -> str:
        kept = f"{self.rows - self.dropped} of {self.rows} showers of {self.particles} particles to {self.output}"
        lines = [f"wrote {kept}"]
        if self.minimum_photons:
            lines.append(f"dropped {self.dropped} with a photon sum below {self.minimum_photons}")
        elif self.faint:
            lines.append(
                f"kept {self.faint} with a photon sum below {PHOTON_FILTER}, which the collaboration usually drops "
                f"(--minimum-photons {PHOTON_FILTER} does so)"
            )
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def convert(
    particles: Path,
    responses: Path,
    output: Path,
    *,
    minimum_photons: int = 0,
    allow_pickle: bool = False,
    title: str = "",
    calorimeter: Calorimeter,
) -> Conversion:
    """Read the collaboration's two files and write one in the project's layout.

    Parameters
    ----------
    particles : npz, or pkl with `allow_pickle`.
    responses : npz, npy, or pkl with `allow_pickle`; the same file as `particles`, if an npz holds both.
    output : HDF5 file; appears complete or not at all. Its folder is created if necessary.
    minimum_photons : Rows with a smaller photon sum are dropped; 0 keeps them all.
    allow_pickle : Read pickle files; they can run any code, so only for files that you trust.
    title : Description of the simulation, for cards and figures.
    calorimeter : The calorimeter of the responses.

    Raises
    ------
    ConfigError : `output` is an input, or its name has no suffix of HDF5.
    FileFormatError : a file cannot be read, or rows are not valid showers; names the first such row.
    """
    check_output(output, particles, responses)
    images = read_array(responses, allow_pickle, ("responses", "arr_0"), 3)
    read = read_particles(particles, allow_pickle)
    conditions, pdg = read.conditions, read.pdg
    columns: dict[str, NDArray[np.generic]] = {"particles": conditions, "pdg": pdg, "responses": images}
    columns["particle_id"] = particle_numbers(conditions, pdg)
    problems = find_problems(UncheckedShowers(columns, calorimeter))
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise FileFormatError(f"{particles} and {responses} cannot be converted:\n{listed}")
    sums = images.sum(axis=(1, 2), dtype=np.float64)
    kept = sums >= minimum_photons
    if not kept.any():
        raise FileFormatError(f"{responses}: no photon sum reaches {minimum_photons}; keep all rows with 0")
    particle_id = particle_numbers(conditions[kept], pdg[kept])
    attributes: dict[str, str | int] = {
        "source": ", ".join(dict.fromkeys([particles.name, responses.name])),
        "minimum_photons": minimum_photons,
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    with ShowerWriter(output, calorimeter, title, attributes) as writer:
        rows = np.flatnonzero(kept)
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            counts = images[block].astype(np.uint16)
            writer.append(Particles(pdg[block], conditions[block]), counts, particle_id[start : start + _BLOCK])
    return Conversion(
        output,
        rows=len(kept),
        dropped=int((~kept).sum()),
        particles=int(particle_id.max()) + 1,
        minimum_photons=minimum_photons,
        faint=int((sums[kept] < PHOTON_FILTER).sum()),
        notes=(*read.notes, *data_warnings(conditions[kept], pdg[kept], images[kept], calorimeter)),
    )


def check_output(output: Path, *inputs: Path) -> None:
    """Raise ConfigError if a file to write is an input or a folder, or its name has no suffix of HDF5."""
    if output.suffix not in _SUFFIXES:
        raise ConfigError(f"{output}: the file to write is HDF5; call it {output.with_suffix('.h5').name}")
    if output.is_dir():
        raise ConfigError(f"{output}: is a folder; name a file")
    if output.resolve() in [path.resolve() for path in inputs]:
        raise ConfigError(f"{output}: is the file to read; name another one to write")
