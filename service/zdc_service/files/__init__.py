"""Files of particles in, files of responses out: readers and writers behind `zdc simulate`."""

from zdc_service.files.reading import ParticleBlock, ParticleReader, open_particles
from zdc_service.files.writing import ResultWriter, create_results

__all__ = ["ParticleBlock", "ParticleReader", "ResultWriter", "create_results", "open_particles"]
