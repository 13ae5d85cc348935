"""Until when an answer is worth computing: what a caller asks for, within the server's limit."""

import math
import time

from zdc_common.errors import InvalidInputError, excerpt

#: Milliseconds that an HTTP caller waits, from the arrival of its request; gRPC has deadlines of its own.
TIMEOUT_HEADER = "X-Zdc-Timeout-Ms"


def deadline_from(value: str | None, default_seconds: float | None) -> float | None:
    """The deadline of a request that arrives now.

    Parameters
    ----------
    value : Text of `TIMEOUT_HEADER`, None where the caller sent none.
    default_seconds : The server's limit, None where it has none; a caller may ask for less, not for more.

    Returns
    -------
    A time of `time.monotonic`, or None where nobody set a limit.

    Raises
    ------
    InvalidInputError : the header is not a positive number.
    """
    asked = None if value is None else time.monotonic() + _milliseconds(value) / 1000
    return within(asked, default_seconds)


def within(deadline: float | None, seconds: float | None) -> float | None:
    """The sooner of a deadline on the clock of `time.monotonic` and `seconds` from now; None stands for no limit."""
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
