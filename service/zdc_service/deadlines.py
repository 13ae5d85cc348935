"""Until when an answer is worth computing: what a caller asks for, within the server's limit."""

import math
import time

from zdc_detector.errors import InvalidInputError

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
    seconds = math.inf if default_seconds is None else default_seconds
    if value is not None:
        seconds = min(seconds, _milliseconds(value) / 1000)
    return None if math.isinf(seconds) else time.monotonic() + seconds


def _milliseconds(text: str) -> float:
    try:
        number = float(text) if text.isascii() else math.nan
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise InvalidInputError(f"{TIMEOUT_HEADER} = {text!r} must be a positive number of milliseconds, e.g. 1500")
    return number
