"""Which reader reads which file."""

import os
from pathlib import Path

from zdc_detector.errors import ConfigError, FileFormatError

from zdc_service.files.blocks import BLOCK_ROWS, ParticleBlock, ParticleReader
from zdc_service.files.csv_file import CsvReader
from zdc_service.files.hdf5_file import Hdf5Reader
from zdc_service.files.hepmc_file import HepMCReader
from zdc_service.files.parquet_file import ParquetReader
from zdc_service.files.root_file import RootReader

__all__ = ["READERS", "ParticleBlock", "ParticleReader", "open_particles"]

#: Endings of file names, and who reads them.
READERS: dict[str, type[ParticleReader]] = {
    ".csv": CsvReader,
    ".csv.gz": CsvReader,
    ".root": RootReader,
    ".parquet": ParquetReader,
    ".h5": Hdf5Reader,
    ".hdf5": Hdf5Reader,
    ".hepmc3": HepMCReader,
    ".hepmc3.gz": HepMCReader,
    ".hepmc": HepMCReader,
    ".hepmc.gz": HepMCReader,
}
_PACKED = (".gz", ".xz", ".bz2", ".zst", ".zip")


def open_particles(path: Path, block_rows: int = BLOCK_ROWS, tree: str | None = None) -> ParticleReader:
    """A reader for a file of particles, chosen by the ending of its name.

    Parameters
    ----------
    path : CSV, Parquet, ROOT, HepMC3 or HDF5 file.
    block_rows : Particles in a block, at most.
    tree : Which tree of a ROOT file; None takes the only one, or one of `root_file.DEFAULT_TREES`.

    Raises
    ------
    FileFormatError : no such file, one that cannot be read twice, an unknown ending, or not what the ending says.
    ConfigError : the package that reads such files is not installed, or there is no such tree.
    """
    _check_readable(path)
    for ending, reader in READERS.items():
        if path.name.lower().endswith(ending):
            if reader is RootReader:
                return RootReader(path, block_rows, tree)
            if tree is not None:
                raise ConfigError(f"--tree is for ROOT files; {path} is none: leave it out")
            return reader(path, block_rows)
    remedy = "; unpack it first" if path.suffix.lower() in _PACKED else ""
    raise FileFormatError(f"{path}: a file of particles ends in {', '.join(READERS)}{remedy}")


def _check_readable(path: Path) -> None:
    if path.name == "-" or (path.exists() and not path.is_file() and not path.is_dir()):
        raise FileFormatError(
            f"{path}: standard input and pipes are not read, since a job that was killed goes on from its input: "
            "write the particles to a file first"
        )
    if not path.is_file():
        raise FileFormatError(f"{path}: is a folder; name a file" if path.is_dir() else f"{path}: no such file")
    if not os.access(path, os.R_OK):
        raise FileFormatError(f"{path}: you may not read it")
