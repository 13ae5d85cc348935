"""When a refused request is sent again: one policy for the clients with threads and for asyncio."""

import logging
import threading

from tenacity import RetryCallState, retry_if_exception_type, wait_random_exponential
from zdc_common.errors import NotReadyError, OverloadedError, ZdcError

from zdc_service.client.options import ClientOptions

log = logging.getLogger(__name__)

_growing = wait_random_exponential(multiplier=0.1, max=5.0)


class RetryPolicy:
    """The parts of a tenacity policy. Thread-safe.

    While the server's queue is full, the client retries for `ClientOptions.timeout_seconds`; while no server answers,
    for `ClientOptions.retry_seconds`. It waits at least for the time that the server names (Retry-After), and gives up
    at once if that time is past the limit.
    """

    retry = retry_if_exception_type((OverloadedError, NotReadyError))

    def __init__(self, options: ClientOptions):
        self._options = options
        self._log_lock = threading.Lock()
        self._logged = False  # since the last reply

    def answered(self) -> None:
        """Note that a server has answered, so that the next failure is logged again."""
        self._logged = False

    def stop(self, state: RetryCallState) -> bool:
        """Whether to give up."""
        error = _error(state)
        limit = self._options.timeout_seconds if isinstance(error, OverloadedError) else self._options.retry_seconds
        return (state.seconds_since_start or 0.0) + _asked_seconds(error) >= limit

    def wait(self, state: RetryCallState) -> float:
        """Seconds until the next try; random, so that clients refused together do not retry together."""
        return _asked_seconds(_error(state)) + _growing(state)

    def before_sleep(self, state: RetryCallState) -> None:
        """Log once that no server answers, however many requests are in flight."""
        error = _error(state)
        with self._log_lock:
            if isinstance(error, NotReadyError) and not self._logged:
                self._logged = True
                log.warning("%s (trying again for %g s)", error, self._options.retry_seconds)


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None


def _asked_seconds(error: BaseException | None) -> float:
    return (error.retry_after_seconds or 0.0) if isinstance(error, ZdcError) else 0.0
