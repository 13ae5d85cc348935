"""Which reader reads which file."""

import os
from pathlib import Path

from zdc_common.errors import ConfigError, FileFormatError

from zdc_service.files.blocks import BLOCK_ROWS, ParticleBlock, ParticleReader
from zdc_service.files.readers.csv_file import CsvReader
from zdc_service.files.readers.hdf5_file import Hdf5Reader
from zdc_service.files.readers.hepmc_file import HepMCReader
from zdc_service.files.readers.parquet_file import ParquetReader
from zdc_service.files.readers.root_file import RootReader

__all__ = ["READERS", "ParticleBlock", "ParticleReader", "open_particles"]

#: Endings of file names, and who reads them.
READERS: dict[str, type[ParticleReader]] = {
    ".csv": CsvReader,
    ".hepmc3": HepMCReader,
    ".hepmc2": HepMCReader,
    ".hepmc": HepMCReader,
    ".root": RootReader,
    ".parquet": ParquetReader,
    ".h5": Hdf5Reader,
    ".hdf5": Hdf5Reader,
}
#: Endings of packed files; those of the readers that take bytes are read as they are.
_PACKED = (".gz", ".bz2", ".xz", ".zst")
_OTHER_PACKED = (".zip", ".Z", ".lz4", ".7z", ".tar", ".tgz")
_OF_BYTES = (CsvReader, HepMCReader)


def open_particles(
    path: Path, block_rows: int = BLOCK_ROWS, tree: str | None = None, statuses: tuple[int, ...] | None = None
) -> ParticleReader:
    """A reader for a file of particles, chosen by the ending of its name.

    Parameters
    ----------
    path : CSV, Parquet, ROOT, HepMC3, HepMC2 or HDF5 file.
    block_rows : Particles in a block, at most.
    tree : Which tree of a ROOT file; None takes the only one, or one of `root_file.DEFAULT_TREES`.
    statuses : Codes of the particles to take; None takes `FINAL_STATE` of a file that has such codes.

    Raises
    ------
    FileFormatError : no such file, one that cannot be read twice, an unknown ending, or not what the ending says.
    ConfigError : the package that reads such files is not installed, there is no such tree, or there are no statuses.
    """
    _check_readable(path)
    name = path.name.lower()
    packed = next((ending for ending in _PACKED if name.endswith(ending)), "")
    for ending, reader in READERS.items():
        if name.endswith(ending + packed) and (not packed or reader in _OF_BYTES):
            if reader is RootReader:
                return RootReader(path, block_rows, statuses, tree)
            if tree is not None:
                raise ConfigError(f"--tree is for ROOT files; {path} is none: leave it out")
            return reader(path, block_rows, statuses)
    remedy = "; unpack it first" if packed or path.suffix in _OTHER_PACKED else ""
    raise FileFormatError(
        f"{path}: a file of particles ends in {', '.join(READERS)}; .csv and .hepmc files also in "
        f"{', '.join(_PACKED)} after that{remedy}"
    )


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
