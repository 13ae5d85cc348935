"""When clients retry a refused request."""

from email.utils import formatdate

import pytest
from tenacity import RetryCallState, Retrying
from zdc_common.errors import NotReadyError, OverloadedError, ZdcError
from zdc_service.client import ClientOptions
from zdc_service.client.retries import RetryPolicy
from zdc_service.client.transports.http_client import retry_after_seconds

NOW = 1_700_000_000.0


def refused(error: ZdcError, retry_after: float | None, seconds: float, tries: int = 1) -> RetryCallState:
    """The state after some tries; the last one ended `seconds` after the first one began."""
    state = RetryCallState(Retrying(), None, (), {})
    error.retry_after_seconds = retry_after
    state.set_exception((type(error), error, None))
    state.attempt_number = tries
    state.outcome_timestamp = state.start_time + seconds
    return state


@pytest.mark.parametrize("tries", [1, 4, 50])
def test_no_retry_before_the_time_that_the_server_names(tries: int) -> None:
    waits = [RetryPolicy(ClientOptions()).wait(refused(OverloadedError("full"), 3.0, 1.0, tries)) for _ in range(50)]
    assert min(waits) >= 3.0
    assert max(waits) <= 3.0 + min(5.0, 0.1 * 2 ** (tries - 1))
    assert len(set(waits)) > 40  # clients refused at the same time do not retry at the same time


@pytest.mark.parametrize(
    ("error", "retry_after", "seconds", "stops"),
    [
        (OverloadedError("full"), None, 19.0, False),
        (OverloadedError("full"), None, 20.0, True),
        (OverloadedError("full"), 2.0, 19.0, True),  # it would be too late by then
        (NotReadyError("away"), None, 4.0, False),
        (NotReadyError("away"), None, 5.0, True),
        (NotReadyError("away"), 3600.0, 0.0, True),
    ],
)
def test_retries_end_at_the_limit(error: ZdcError, retry_after: float | None, seconds: float, stops: bool) -> None:
    policy = RetryPolicy(ClientOptions(timeout_seconds=20.0, retry_seconds=5.0))
    assert policy.stop(refused(error, retry_after, seconds)) is stops


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        (formatdate(NOW + 30, usegmt=True), 30.0),
        (formatdate(NOW - 30, usegmt=True), 0.0),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(value, NOW) == seconds
