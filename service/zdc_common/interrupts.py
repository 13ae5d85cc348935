"""Reliable handling of Ctrl-C."""

import signal
import threading
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Self, TypeVar

_Item = TypeVar("_Item")


class Interrupts:
    """Raises `KeyboardInterrupt` after SIGINT, in `check` or between the items of a loop.

    By default Python raises it at any moment. Often that is within a callback of a C library (HDF5, HepMC3, torch),
    which prints or drops the exception, and the program continues. A second SIGINT raises at once.

    Attributes
    ----------
    pending : Whether SIGINT has arrived.
    """

    def __init__(self) -> None:
        self.pending = False
        self._waiting = False
        self._installed = False

    def __enter__(self) -> Self:
        # An ignored SIGINT, as in background jobs of a shell, stays ignored. Only the main thread can set handlers.
        usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if usual and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._on_signal)
            self._installed = True
        return self

    def __exit__(self, *_: object) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def between(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """Iterate over the items; raises KeyboardInterrupt between two items, or at once while waiting for the next."""
        iterator = iter(items)
        while True:
            self._waiting = True
            try:
                self.check()
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self._waiting = False
            self.check()
            yield item

    def check(self) -> None:
        """Raise KeyboardInterrupt if SIGINT has arrived."""
        if self.pending:
            raise KeyboardInterrupt

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        again, self.pending = self.pending, True
        if again or self._waiting:
            raise KeyboardInterrupt
