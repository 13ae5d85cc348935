"""Writers for responses to HDF5, NPZ, Parquet and ROOT files."""
