"""Metrics under Triton's names, and statistics with the protocol's keys, from a model's sums."""

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from zdc_service.telemetry.statistics import Statistics, Timing, Totals
from zdc_service.telemetry.triton_collector import TritonCollector, as_triton_writes


@pytest.fixture
def totals() -> Totals:
    """Three requests of 2, 3 and 4 rows in two batches, and one failure of each kind."""
    statistics = Statistics()
    statistics.executed(4, Timing(0, 0.001, 0.002, 0.003))
    statistics.executed(5, Timing(0, 0.004, 0.005, 0.006))
    for rows in (2, 3, 4):
        statistics.succeeded(rows, 0.1, Timing(0.01, 0.02, 0.03, 0.04))
    for kind in ("overloaded", "deadline", "cancelled", "internal", "model", "out_of_range", "invalid_input"):
        statistics.failed(kind, 0.5)
    return statistics.totals(pending=2)


@pytest.fixture
def text(totals: Totals) -> str:
    def sums() -> Iterator[tuple[str, int, Totals]]:
        yield "tiny", 2, totals
        yield "new", 1, Totals()

    registry = CollectorRegistry()
    registry.register(TritonCollector(sums))
    return as_triton_writes(generate_latest(registry)).decode()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("nv_inference_request_success", 3),
        ("nv_inference_count", 9),
        ("nv_inference_exec_count", 2),
        ("nv_inference_pending_request_count", 2),
        ("nv_inference_request_duration_us", 300_000),
        ("nv_inference_queue_duration_us", 30_000),
        ("nv_inference_compute_input_duration_us", 60_000),
        ("nv_inference_compute_infer_duration_us", 90_000),
        ("nv_inference_compute_output_duration_us", 120_000),
    ],
)
def test_values(text: str, name: str, value: int) -> None:
    kind = "gauge" if "pending" in name else "counter"
    lines = text.splitlines()
    at = lines.index(f"# TYPE {name} {kind}")
    assert lines[at - 1].startswith(f"# HELP {name} ")
    assert lines[at + 1 : at + 3] == [
        f'{name}{{model="tiny",version="2"}} {float(value)}',
        f'{name}{{model="new",version="1"}} 0.0',
    ]


def test_failures_have_tritons_reasons(text: str) -> None:
    for reason, count in (("REJECTED", 2), ("CANCELED", 1), ("BACKEND", 2), ("OTHER", 2)):
        assert f'nv_inference_request_failure{{model="tiny",reason="{reason}",version="2"}} {count}.0\n' in text
        assert f'nv_inference_request_failure{{model="new",reason="{reason}",version="1"}} 0.0\n' in text


def test_the_text_is_prometheus_own(text: str) -> None:
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert len(families) == 10
    assert not any("_total" in line for line in text.splitlines())


def test_other_names_keep_their_suffix() -> None:
    text = b"# HELP zdc_rows_total Rows.\n# TYPE zdc_rows_total counter\nzdc_rows_total 1.0\n"
    assert as_triton_writes(text) == text


def test_times_are_kept_for_each_batch_size(totals: Totals) -> None:
    assert totals.executions == {4: 1, 5: 1}
    assert totals.execution_timing == {4: Timing(0, 0.001, 0.002, 0.003), 5: Timing(0, 0.004, 0.005, 0.006)}
