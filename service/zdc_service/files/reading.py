"""Which reader reads which file."""

from pathlib import Path

from zdc_detector.errors import FileFormatError

from zdc_service.files.blocks import BLOCK_ROWS, ParticleBlock, ParticleReader
from zdc_service.files.csv_file import CsvReader
from zdc_service.files.hepmc_file import HepMCReader
from zdc_service.files.parquet_file import ParquetReader

__all__ = ["READERS", "ParticleBlock", "ParticleReader", "open_particles"]

#: Endings of file names, and who reads them.
READERS: dict[str, type[ParticleReader]] = {
    ".csv": CsvReader,
    ".parquet": ParquetReader,
    ".hepmc3": HepMCReader,
    ".hepmc3.gz": HepMCReader,
    ".hepmc": HepMCReader,
    ".hepmc.gz": HepMCReader,
}


def open_particles(path: Path, block_rows: int = BLOCK_ROWS) -> ParticleReader:
    """A reader for a file of particles, chosen by the ending of its name.

    Parameters
    ----------
    path : CSV, Parquet or HepMC3 file.
    block_rows : Particles in a block, at most.

    Raises
    ------
    FileFormatError : no such file, an unknown ending, or not what the ending says.
    ConfigError : the package that reads such files is not installed.
    """
    if not path.is_file():
        raise FileFormatError(f"{path}: no such file")
    for ending, reader in READERS.items():
        if path.name.lower().endswith(ending):
            return reader(path, block_rows)
    raise FileFormatError(f"{path}: a file of particles ends in {', '.join(READERS)}")
