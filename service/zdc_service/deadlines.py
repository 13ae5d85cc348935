"""Deadlines of requests: the client's time limit, within that of the server."""

import math
import time

from zdc_common.errors import InvalidInputError, excerpt

#: Time limit of an HTTP request [ms], from its arrival; gRPC has built-in deadlines.
TIMEOUT_HEADER = "X-Zdc-Timeout-Ms"


def deadline_from(value: str | None, default_seconds: float | None) -> float | None:
    """The deadline of a request that arrives now.

    Parameters
    ----------
    value : Text of `TIMEOUT_HEADER`; None if the request has no such header.
    default_seconds : The server's limit, None for no limit; a client may request a shorter limit, not a longer one.

    Returns
    -------
    A time on the clock `time.monotonic`, or None if there is no limit.

    Raises
    ------
    InvalidInputError : the header is not a positive number.
    """
    asked = None if value is None else time.monotonic() + _milliseconds(value) / 1000
    return within(asked, default_seconds)


def within(deadline: float | None, seconds: float | None) -> float | None:
    """The earlier of a deadline on the clock `time.monotonic` and `seconds` from now; None means no limit."""
    if seconds is None:
        return deadline
    limit = time.monotonic() + seconds
    return limit if deadline is None else min(deadline, limit)


def _milliseconds(text: str) -> float:
    try:
        number = float(text) if text.isascii() else math.nan
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise InvalidInputError(
            f"{TIMEOUT_HEADER} = {excerpt(text)} must be a positive number of milliseconds, e.g. 1500"
        )
    return number
