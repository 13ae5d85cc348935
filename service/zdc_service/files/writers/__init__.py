"""Responses to files: HDF5, NPZ, Parquet, ROOT."""
