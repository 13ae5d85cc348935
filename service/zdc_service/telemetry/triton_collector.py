"""Prometheus collector with Triton's metric names, for dashboards and autoscalers that are made for Triton.

https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/metrics.html
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import Metric
from prometheus_client.registry import Collector

from zdc_service.telemetry.model_collector import Sums
from zdc_service.telemetry.statistics import Totals

_REASONS = ("OTHER", "BACKEND", "CANCELED", "REJECTED")
#: Triton counts a request as rejected if its scheduler refuses it or its deadline passes.
_REASON_OF = {
    "overloaded": "REJECTED",
    "deadline": "REJECTED",
    "cancelled": "CANCELED",
    "internal": "BACKEND",
    "model": "BACKEND",
}

_COUNTERS: Mapping[str, tuple[str, Callable[[Totals], float]]] = {
    "nv_inference_request_success": ("Number of successful requests.", lambda totals: totals.succeeded),
    "nv_inference_count": ("Number of rows of successful requests.", lambda totals: totals.rows),
    "nv_inference_exec_count": ("Number of computed batches.", lambda totals: totals.executions.total()),
    "nv_inference_request_duration_us": (
        "Time of successful requests from arrival to their last row, in microseconds.",
        lambda totals: _us(totals.seconds),
    ),
    "nv_inference_queue_duration_us": (
        "Time that successful requests waited, in microseconds.", lambda totals: _us(totals.timing.queue)
    ),
    "nv_inference_compute_input_duration_us": (
        "Time to prepare the inputs of successful requests, in microseconds.",
        lambda totals: _us(totals.timing.prepare),
    ),
    "nv_inference_compute_infer_duration_us": (
        "Time to run the graph for successful requests, in microseconds.", lambda totals: _us(totals.timing.model)
    ),
    "nv_inference_compute_output_duration_us": (
        "Time to draw photon counts for successful requests, in microseconds.",
        lambda totals: _us(totals.timing.finish),
    ),
}  # fmt: skip

#: Names to which prometheus_client adds a suffix that Triton's names do not have.
_SUFFIXED = re.compile(rb"^(# (?:HELP|TYPE) nv_inference_\w+)_total ", re.MULTILINE)


class TritonCollector(Collector):
    """The totals of all loaded models at each scrape; pass the text to `as_triton_writes`."""

    def __init__(self, sums: Callable[[], Sums]):
        self._sums = sums

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering the collector does not collect."""
        return []

    def collect(self) -> Iterator[Metric]:
        """One family of samples for each name."""
        models = [({"model": name, "version": str(number)}, totals) for name, number, totals in self._sums()]
        for name, (text, value_of) in _COUNTERS.items():
            yield _family(name, text, "counter", ((labels, value_of(totals)) for labels, totals in models))
        failures = (
            ({**labels, "reason": reason}, count)
            for labels, totals in models
            for reason, count in _failures(totals).items()
        )
        yield _family("nv_inference_request_failure", "Number of failed requests.", "counter", failures)
        waiting = ((labels, totals.pending) for labels, totals in models)
        yield _family(
            "nv_inference_pending_request_count", "Number of requests that are in no batch yet.", "gauge", waiting
        )


def as_triton_writes(text: bytes) -> bytes:
    """Prometheus' text format with Triton's names, without the suffix that prometheus_client adds."""
    return _SUFFIXED.sub(rb"\1 ", text)


def _family(name: str, text: str, kind: str, samples: Iterable[tuple[dict[str, str], float]]) -> Metric:
    family = Metric(name, text, kind)
    for labels, value in samples:
        family.add_sample(name, labels, value)
    return family


def _failures(totals: Totals) -> Mapping[str, int]:
    """Number of failed requests by each of Triton's reasons; reasons without failures are included."""
    counts = Counter(dict.fromkeys(_REASONS, 0))
    for kind, count in totals.failed.items():
        counts[_REASON_OF.get(kind, "OTHER")] += count
    return counts


def _us(seconds: float) -> int:
    return round(seconds * 1e6)
