"""Choose the reader for a file of particles."""

import os
from pathlib import Path

from zdc_common.errors import ConfigError, FileFormatError

from zdc_readers.blocks import BLOCK_ROWS, ParticleBlock, ParticleReader
from zdc_readers.csv_file import CsvReader
from zdc_readers.hdf5_file import Hdf5Reader
from zdc_readers.hepmc_file import HepMCReader
from zdc_readers.parquet_file import ParquetReader
from zdc_readers.root_file import RootReader

__all__ = ["READERS", "ParticleBlock", "ParticleReader", "open_particles"]

#: Endings of file names, and their readers.
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
#: Endings of compressed files; the readers in `_OF_BYTES` decompress them.
_PACKED = (".gz", ".bz2", ".xz", ".zst")
_OTHER_PACKED = (".zip", ".Z", ".lz4", ".7z", ".tar", ".tgz")
_OF_BYTES = (CsvReader, HepMCReader)


def open_particles(
    path: Path, block_rows: int = BLOCK_ROWS, tree: str | None = None, statuses: tuple[int, ...] | None = None
) -> ParticleReader:
    """Open a file of particles with the reader for the ending of its name.

    Parameters
    ----------
    path : CSV, Parquet, ROOT, HepMC3, HepMC2 or HDF5 file.
    block_rows : Maximum number of particles per block.
    tree : Name of the tree in a ROOT file; None takes the only tree, or one of `root_file.DEFAULT_TREES`.
    statuses : Status codes of the particles to take. None takes `FINAL_STATE` if the file has status codes.

    Raises
    ------
    FileFormatError : the file does not exist, is a pipe, has an unknown ending, or is invalid.
    ConfigError : the package for such files is not installed, or the file has no such tree or no status codes.
    """
    _check_readable(path)
    name = path.name.lower()
    packed = next((ending for ending in _PACKED if name.endswith(ending)), "")
    for ending, reader in READERS.items():
        if name.endswith(ending + packed) and (not packed or reader in _OF_BYTES):
            if reader is RootReader:
                return RootReader(path, block_rows, statuses, tree)
            if tree is not None:
                raise ConfigError(f"--tree is for ROOT files only; leave it out for {path}")
            return reader(path, block_rows, statuses)
    remedy = "; decompress it first" if packed or path.suffix in _OTHER_PACKED else ""
    raise FileFormatError(
        f"{path}: the name must end in {', '.join(READERS)}, and may continue with {', '.join(_PACKED)} "
        f"for CSV and HepMC{remedy}"
    )


def _check_readable(path: Path) -> None:
    if path.name == "-" or (path.exists() and not path.is_file() and not path.is_dir()):
        raise FileFormatError(
            f"{path}: standard input and pipes are not supported, because a restarted job reads its input again; "
            "write the particles to a file first"
        )
    if not path.is_file():
        raise FileFormatError(f"{path}: this is a folder; name a file" if path.is_dir() else f"{path}: no such file")
    if not os.access(path, os.R_OK):
        raise FileFormatError(f"{path}: no permission to read this file")
