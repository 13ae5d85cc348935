"""Which writer writes which file of responses."""

import os
from pathlib import Path

from zdc_common.errors import ConfigError

from zdc_service.files.writers.hdf5_results import Hdf5Writer
from zdc_service.files.writers.npz_results import NpzWriter
from zdc_service.files.writers.parquet_results import ParquetWriter
from zdc_service.files.writers.results import ResultWriter
from zdc_service.files.writers.root_results import RootWriter
from zdc_service.files.writers.rows import About

#: Endings of file names, and who writes them.
WRITERS: dict[str, type[ResultWriter]] = {
    ".h5": Hdf5Writer,
    ".hdf5": Hdf5Writer,
    ".root": RootWriter,
    ".parquet": ParquetWriter,
    ".npz": NpzWriter,
}


def check_output(path: Path) -> None:
    """Refuse what cannot become a file of responses, before anything is simulated.

    Raises
    ------
    ConfigError : an unknown ending, a folder that is not there or may not be written to, a folder of that name, or a
        package that is not installed.
    """
    if path.suffix not in WRITERS:
        raise ConfigError(f"{path}: a file of responses ends in {', '.join(WRITERS)}")
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder; name a file")
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: the folder {path.parent} does not exist; make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ConfigError(f"{path}: the folder {path.parent} cannot be written to; name another")
    WRITERS[path.suffix].check_packages()


def create_results(path: Path, about: About) -> ResultWriter:
    """A writer for responses, chosen by the ending of the file's name, which `check_output` has passed."""
    return WRITERS[path.suffix](path, about)
