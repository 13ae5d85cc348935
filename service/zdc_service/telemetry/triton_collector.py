"""What models have done, under the names that Triton gives it: for dashboards and autoscalers made for Triton.

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
#: Triton counts a request as rejected when its scheduler turns it away or lets its time run out.
_REASON_OF = {
    "overloaded": "REJECTED",
    "deadline": "REJECTED",
    "cancelled": "CANCELED",
    "internal": "BACKEND",
    "model": "BACKEND",
}

_COUNTERS: Mapping[str, tuple[str, Callable[[Totals], float]]] = {
    "nv_inference_request_success": ("Requests answered.", lambda totals: totals.succeeded),
    "nv_inference_count": ("Rows of requests answered.", lambda totals: totals.rows),
    "nv_inference_exec_count": ("Batches computed.", lambda totals: totals.executions.total()),
    "nv_inference_request_duration_us": (
        "Microseconds of answered requests from arrival to last row.", lambda totals: _us(totals.seconds)
    ),
    "nv_inference_queue_duration_us": (
        "Microseconds that answered requests waited.", lambda totals: _us(totals.timing.queue)
    ),
    "nv_inference_compute_input_duration_us": (
        "Microseconds that answered requests took to prepare.", lambda totals: _us(totals.timing.prepare)
    ),
    "nv_inference_compute_infer_duration_us": (
        "Microseconds that answered requests took in the graph.", lambda totals: _us(totals.timing.model)
    ),
    "nv_inference_compute_output_duration_us": (
        "Microseconds that answered requests took to finish.", lambda totals: _us(totals.timing.finish)
    ),
}  # fmt: skip

#: Names that prometheus_client writes with a suffix that Triton's do not have.
_SUFFIXED = re.compile(rb"^(# (?:HELP|TYPE) nv_inference_\w+)_total ", re.MULTILINE)


class TritonCollector(Collector):
    """The sums of all loaded models at the moment of a scrape; the text needs `as_triton_writes`."""

    def __init__(self, sums: Callable[[], Sums]):
        self._sums = sums

    def describe(self) -> Iterable[Metric]:
        """Nothing: names are known without asking the models."""
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
        yield _family("nv_inference_request_failure", "Requests not answered.", "counter", failures)
        waiting = ((labels, totals.pending) for labels, totals in models)
        yield _family("nv_inference_pending_request_count", "Requests that no batch has taken yet.", "gauge", waiting)


def as_triton_writes(text: bytes) -> bytes:
    """Prometheus' text format with the names of `TritonCollector` as they are."""
    return _SUFFIXED.sub(rb"\1 ", text)


def _family(name: str, text: str, kind: str, samples: Iterable[tuple[dict[str, str], float]]) -> Metric:
    family = Metric(name, text, kind)
    for labels, value in samples:
        family.add_sample(name, labels, value)
    return family


def _failures(totals: Totals) -> Mapping[str, int]:
    """Failed requests by Triton's reasons, all of which are always there."""
    counts = Counter(dict.fromkeys(_REASONS, 0))
    for kind, count in totals.failed.items():
        counts[_REASON_OF.get(kind, "OTHER")] += count
    return counts


def _us(seconds: float) -> int:
    return round(seconds * 1e6)
