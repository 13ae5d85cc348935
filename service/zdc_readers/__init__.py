"""Readers of particles: HepMC, ROOT, Parquet, CSV and HDF5 files, and the command line."""

from zdc_readers.arguments import ArgumentReader
from zdc_readers.blocks import ParticleBlock, ParticleReader
from zdc_readers.reading import open_particles

__all__ = ["ArgumentReader", "ParticleBlock", "ParticleReader", "open_particles"]
