"""The folder of a training run: configuration, checkpoints, lock, provenance, weights to start from."""
