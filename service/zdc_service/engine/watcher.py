"""A thread that calls a function at regular intervals."""

import logging
import threading
from collections.abc import Callable

from zdc_common.errors import ZdcError

log = logging.getLogger(__name__)

_PATIENCE_SECONDS = 2.0


class Watcher:
    """Calls `look` at regular intervals until it is stopped; logs errors, but the same error only once in a row."""

    def __init__(self, look: Callable[[], None], seconds: float, name: str):
        self._look = look
        self._seconds = seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop calling, and wait a short time for a call in progress; a hanging call ends with the process."""
        self._stopped.set()
        self._thread.join(_PATIENCE_SECONDS)
        if self._thread.is_alive():
            log.warning("%s: a check takes more than %g s; not waiting for it", self._thread.name, _PATIENCE_SECONDS)

    def _watch(self) -> None:
        told = ""
        while not self._stopped.wait(self._seconds):
            try:
                self._look()
                told = ""
            except ZdcError as error:
                if str(error) != told:
                    log.warning("%s: %s", self._thread.name, error)
                told = str(error)
            except Exception:
                log.exception("%s", self._thread.name)
