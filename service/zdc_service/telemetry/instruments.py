"""What the service counts and times, for Prometheus; labels take a bounded set of values."""

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from zdc_common.errors import ConfigError

from zdc_service.telemetry.triton_collector import as_triton_writes

#: With it prometheus_client keeps its numbers in files.
_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Instruments:
    """The counters, gauges and histograms of one server, in a Prometheus registry of their own.

    The collectors of its models are registered later.

    Attributes
    ----------
    requests : Answered requests by ``protocol`` (http, grpc, grpc_stream; of the Open Inference Protocol http_v2,
        grpc_v2, grpc_v2_stream) and ``kind`` (ok, or an error's kind).
    queue_rows : Rows waiting.
    queue_seconds : From a job's arrival to the start of its first batch.
    encode_seconds : From results to a reply's bytes, by protocol.
    out_of_range : Particles outside the trained range by ``reason`` and ``policy``.
    model : 1 for each loaded model, with its hash and the onnxruntime provider that runs it.
    model_refusals : Versions in the models folder that were not loaded because they are no good, by model.
    """

    def __init__(self) -> None:
        """No requests so far; raises ConfigError if prometheus_client's own variable names a folder that is none."""
        folder = os.environ.get(_FOLDER_VARIABLE)
        if folder is not None and not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigError(
                f"{_FOLDER_VARIABLE} = {folder!r} is no folder to write to; make it, or unset the variable: this "
                "server is one process, whose /metrics needs no files"
            )
        self.registry = CollectorRegistry()
        r = self.registry
        self.requests = Counter("zdc_requests", "Answered requests.", ["protocol", "kind"], registry=r)
        self.queue_rows = Gauge("zdc_queue_rows", "Rows waiting for a batch.", registry=r)
        self.queue_seconds = Histogram("zdc_queue_seconds", "Wait for the first batch.", buckets=_SECONDS, registry=r)
        self.encode_seconds = Histogram(
            "zdc_encode_seconds", "Results to bytes.", ["protocol"], buckets=_SECONDS, registry=r
        )
        self.out_of_range = Counter(
            "zdc_out_of_range_particles", "Particles outside the trained range.", ["reason", "policy"], registry=r
        )
        self.model = Gauge("zdc_model_info", "Loaded models.", ["model", "version", "sha256", "provider"], registry=r)
        self.model_refusals = Counter("zdc_model_refusals", "Refused versions of models.", ["model"], registry=r)

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return as_triton_writes(generate_latest(self.registry))
