"""Counters and times of the running service, as Prometheus and Triton name them."""
