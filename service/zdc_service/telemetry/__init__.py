"""Counters and timings of the running service, for Prometheus and Triton's statistics."""
