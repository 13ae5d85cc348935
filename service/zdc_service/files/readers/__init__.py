"""Readers for particles from HepMC, ROOT, Parquet, CSV and HDF5 files."""
