"""The fast generator: photon rates on a coarse grid around the entry point."""
