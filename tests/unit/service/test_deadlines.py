"""Deadlines of HTTP requests."""

import time

import pytest
from zdc_common.errors import InvalidInputError
from zdc_service.deadlines import deadline_from, within


@pytest.mark.parametrize(
    ("value", "limit", "seconds"),
    [("1500", None, 1.5), ("0.5", None, 0.0005), ("1e3", 60.0, 1.0), ("90000", 60.0, 60.0), (None, 2.5, 2.5)],
)
def test_the_earlier_deadline_counts(value: str | None, limit: float | None, seconds: float) -> None:
    before = time.monotonic()
    deadline = deadline_from(value, limit)
    assert deadline is not None
    assert before + seconds <= deadline <= time.monotonic() + seconds


def test_no_deadline_without_limits() -> None:
    assert deadline_from(None, None) is None


@pytest.mark.parametrize("value", ["", "soon", "0", "-1", "nan", "inf", "1e999", "1s", "١٥"])
def test_invalid_limits_are_refused_with_the_remedy(value: str) -> None:
    with pytest.raises(InvalidInputError, match="must be a positive number of milliseconds"):
        deadline_from(value, None)


def test_the_server_limits_deadlines_of_grpc_clients() -> None:
    now = time.monotonic()
    assert within(None, None) is None
    assert within(now + 5, None) == now + 5
    assert within(now + 5, 60) == now + 5
    for deadline in (None, now + 500):
        assert now + 60 <= (within(deadline, 60) or 0) <= time.monotonic() + 60
