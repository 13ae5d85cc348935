"""The fast generator: photon rates on grids around the entry point."""
