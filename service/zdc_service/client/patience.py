"""When a request that was refused is offered again: one policy for clients with threads and with an event loop."""

import logging
import threading

from tenacity import RetryCallState, retry_if_exception_type, wait_random_exponential
from zdc_common.errors import NotReadyError, OverloadedError, ZdcError

from zdc_service.client.options import ClientOptions

log = logging.getLogger(__name__)

_growing = wait_random_exponential(multiplier=0.1, max=5.0)


class Patience:
    """The parts of a tenacity policy. Thread-safe.

    A full queue is waited for as long as a request may take, an absent server for `ClientOptions.retry_seconds`; not
    before the time that the server itself names (Retry-After), and not at all where that is past the limit.
    """

    retry = retry_if_exception_type((OverloadedError, NotReadyError))

    def __init__(self, options: ClientOptions):
        self._options = options
        self._saying = threading.Lock()
        self._said = False  # since the last answer

    def answered(self) -> None:
        """A server has answered: the next failure is news again."""
        self._said = False

    def stop(self, state: RetryCallState) -> bool:
        """Whether to give up."""
        error = _error(state)
        limit = self._options.timeout_seconds if isinstance(error, OverloadedError) else self._options.retry_seconds
        return (state.seconds_since_start or 0.0) + _asked_seconds(error) >= limit

    def wait(self, state: RetryCallState) -> float:
        """Seconds until the next try, at random, so that callers who were refused together do not come together."""
        return _asked_seconds(_error(state)) + _growing(state)

    def before_sleep(self, state: RetryCallState) -> None:
        """Say once that no server answers, however many requests are under way."""
        error = _error(state)
        with self._saying:
            if isinstance(error, NotReadyError) and not self._said:
                self._said = True
                log.warning("%s (trying again for %g s)", error, self._options.retry_seconds)


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None


def _asked_seconds(error: BaseException | None) -> float:
    return (error.retry_after_seconds or 0.0) if isinstance(error, ZdcError) else 0.0
