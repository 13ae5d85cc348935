"""Particles from files: HepMC3, ROOT, Parquet, CSV, HDF5."""
