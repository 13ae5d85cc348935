"""Choose the writer for a file of responses."""

import os
from pathlib import Path

from zdc_common.errors import ConfigError

from zdc_service.writers.hdf5_results import Hdf5Writer
from zdc_service.writers.npz_results import NpzWriter
from zdc_service.writers.parquet_results import ParquetWriter
from zdc_service.writers.results import ResultWriter
from zdc_service.writers.root_results import RootWriter
from zdc_service.writers.rows import FileDescription

#: Endings of file names, and their writers.
WRITERS: dict[str, type[ResultWriter]] = {
    ".h5": Hdf5Writer,
    ".hdf5": Hdf5Writer,
    ".root": RootWriter,
    ".parquet": ParquetWriter,
    ".npz": NpzWriter,
}


def check_output(path: Path) -> None:
    """Refuse a path that cannot become a file of responses, before the simulation starts.

    Raises
    ------
    ConfigError : the ending is unknown, the path is a folder, its folder does not exist or is not writable, or a
        package for the format is not installed.
    """
    if path.suffix not in WRITERS:
        raise ConfigError(f"{path}: the name of a file of responses must end in {', '.join(WRITERS)}")
    if path.is_dir():
        raise ConfigError(f"{path}: this is a folder; name a file")
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: the folder {path.parent} does not exist; create it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ConfigError(f"{path}: no permission to write to the folder {path.parent}; choose another folder")
    WRITERS[path.suffix].check_packages()


def create_results(path: Path, about: FileDescription) -> ResultWriter:
    """Create the writer for the ending of the file's name, which `check_output` must have accepted."""
    return WRITERS[path.suffix](path, about)
