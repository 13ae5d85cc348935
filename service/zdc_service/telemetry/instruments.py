"""Prometheus counters, gauges and histograms of the service. Each label has a bounded set of values."""

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from zdc_common.errors import ConfigError

from zdc_service.telemetry.triton_collector import as_triton_writes

#: If this variable is set, prometheus_client keeps its numbers in files of that folder.
_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Instruments:
    """The counters, gauges and histograms of one server, in a separate Prometheus registry.

    The collectors of its models are registered later.

    Attributes
    ----------
    requests : Number of answered requests, by ``protocol`` (http, grpc, grpc_stream; for the Open Inference Protocol
        http_v2, grpc_v2, grpc_v2_stream) and ``kind`` (ok, or the kind of the error).
    queue_rows : Number of rows that wait for a batch.
    queue_seconds : Time from a job's arrival to the start of its first batch.
    encode_seconds : Time to encode a result as a reply, by protocol.
    out_of_range : Number of particles outside the trained range, by ``reason`` and ``policy``.
    model : 1 for each loaded model, with its hash and the onnxruntime provider that runs it.
    model_refusals : Number of invalid versions in the models folder that were not loaded, by model.
    """

    def __init__(self) -> None:
        """Begin with zero requests; raises ConfigError if prometheus_client's own variable names no usable folder."""
        folder = os.environ.get(_FOLDER_VARIABLE)
        if folder is not None and not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigError(
                f"{_FOLDER_VARIABLE} = {folder!r} is not a writable folder; create it, or unset the variable: this "
                "server is one process and needs no files for /metrics"
            )
        self.registry = CollectorRegistry()
        r = self.registry
        self.requests = Counter("zdc_requests", "Number of answered requests.", ["protocol", "kind"], registry=r)
        self.queue_rows = Gauge("zdc_queue_rows", "Number of rows that wait for a batch.", registry=r)
        self.queue_seconds = Histogram(
            "zdc_queue_seconds",
            "Time from a job's arrival to the start of its first batch, in seconds.",
            buckets=_SECONDS,
            registry=r,
        )
        self.encode_seconds = Histogram(
            "zdc_encode_seconds",
            "Time to encode a result as a reply, in seconds.",
            ["protocol"],
            buckets=_SECONDS,
            registry=r,
        )
        self.out_of_range = Counter(
            "zdc_out_of_range_particles",
            "Number of particles outside the trained range.",
            ["reason", "policy"],
            registry=r,
        )
        self.model = Gauge(
            "zdc_model_info", "1 for each loaded model.", ["model", "version", "sha256", "provider"], registry=r
        )
        self.model_refusals = Counter(
            "zdc_model_refusals", "Number of invalid model versions that were not loaded.", ["model"], registry=r
        )

    def text(self) -> bytes:
        """The values of everything in Prometheus' text format."""
        return as_triton_writes(generate_latest(self.registry))
