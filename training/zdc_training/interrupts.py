"""Ctrl-C that is neither lost nor in the middle of anything."""

import signal
import threading
from types import FrameType
from typing import Self


class Interrupts:
    """Remembers SIGINT until `check` is called; a second one raises at once.

    Raised at any moment, as Python does by itself, `KeyboardInterrupt` may fall into a callback of a C library, which
    drops it, and the training goes on.
    """

    def __init__(self) -> None:
        self._pending = False
        self._installed = False

    def __enter__(self) -> Self:
        # Where SIGINT is ignored, as for a shell's background jobs, it stays so; other threads cannot set handlers.
        usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if usual and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._on_signal)
            self._installed = True
        return self

    def __exit__(self, *_: object) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def check(self) -> None:
        """Raise KeyboardInterrupt if SIGINT has arrived."""
        if self._pending:
            raise KeyboardInterrupt

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        again, self._pending = self._pending, True
        if again:
            raise KeyboardInterrupt
