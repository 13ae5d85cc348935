"""Prometheus collector of the rows, batches and times of models, from their statistics at each scrape."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from zdc_service.telemetry.statistics import NO_TIMING, Totals

#: Name, version and totals of each model.
Sums = Iterable[tuple[str, int, Totals]]

_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_LABELS = ("model", "version")


class ModelCollector(Collector):
    """``zdc_rows_total``, ``zdc_batch_rows`` and ``zdc_stage_seconds_total`` of all loaded models."""

    def __init__(self, sums: Callable[[], Sums]):
        self._sums = sums

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering the collector does not collect."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The three families."""
        rows = CounterMetricFamily("zdc_rows", "Number of simulated rows.", labels=_LABELS)
        batches = HistogramMetricFamily("zdc_batch_rows", "Number of rows per batch.", labels=_LABELS)
        stages = CounterMetricFamily(
            "zdc_stage_seconds", "Time spent in each stage of batches, in seconds.", labels=(*_LABELS, "stage")
        )
        for name, version, totals in self._sums():
            labels = (name, str(version))
            computed = sum(size * count for size, count in totals.executions.items())
            rows.add_metric(labels, computed)
            batches.add_metric(labels, _buckets(totals), computed)
            timing = NO_TIMING
            for each in totals.execution_timing.values():
                timing = timing.plus(each)
            for stage in ("prepare", "model", "finish"):
                stages.add_metric((*labels, stage), getattr(timing, stage))
        yield from (rows, batches, stages)


def _buckets(totals: Totals) -> list[tuple[str, float]]:
    """Cumulative histogram: for each bound, the number of batches with at most that many rows."""
    bounded = [
        (str(float(bound)), sum(count for size, count in totals.executions.items() if size <= bound)) for bound in _ROWS
    ]
    return [*bounded, ("+Inf", totals.executions.total())]
