"""Ctrl-C that is never lost."""

import signal
import threading
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Self, TypeVar

_Item = TypeVar("_Item")


class Interrupts:
    """Turns SIGINT into `KeyboardInterrupt` at `check`, or between the items of a loop.

    Raised at any moment, as Python does by itself, the exception often falls into a callback of a C library (HDF5's,
    HepMC3's, torch's), which prints or drops it, and the program goes on. A second SIGINT raises at once.

    Attributes
    ----------
    pending : Whether SIGINT has arrived.
    """

    def __init__(self) -> None:
        self.pending = False
        self._waiting = False
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

    def between(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """The items; KeyboardInterrupt between two of them, or at once while waiting for the next."""
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
