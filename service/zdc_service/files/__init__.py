"""Readers for files of particles and writers for files of responses, as used by `zdc simulate`."""

from zdc_service.files.readers.reading import ParticleBlock, ParticleReader, open_particles
from zdc_service.files.writers.results import ResultWriter
from zdc_service.files.writers.rows import FileDescription, Rows
from zdc_service.files.writers.writing import check_output, create_results

__all__ = [
    "FileDescription",
    "ParticleBlock",
    "ParticleReader",
    "ResultWriter",
    "Rows",
    "check_output",
    "create_results",
    "open_particles",
]
