"""Common parts of the service and the training: particles, geometry, channels, random numbers, model cards."""
