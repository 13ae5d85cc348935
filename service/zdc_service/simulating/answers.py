"""How an answer gets from any thread to a caller on an event loop."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from zdc_service.simulation import SimulationResult

#: What a caller on an event loop waits for.
Waiting = asyncio.Future[SimulationResult]

#: What a caller is told whose deadline passed.
LATE = "the deadline passed before the simulation was done; allow more time, or send fewer rows"


def call_on(loop: asyncio.AbstractEventLoop, call: Callable[..., object], *args: object) -> None:
    """Call on the thread of a loop: at once if this is that thread, not at all if the loop is closed."""
    if asyncio._get_running_loop() is loop:
        call(*args)
    elif not loop.is_closed():
        with suppress(RuntimeError):  # it was closed meanwhile
            loop.call_soon_threadsafe(call, *args)


def set_error(waiting: Waiting, error: BaseException) -> None:
    """Give a caller an error, on the loop's thread."""
    if isinstance(error, StopIteration):  # a future of asyncio refuses it, and its caller would wait for ever
        error = RuntimeError(repr(error)).with_traceback(error.__traceback__)
    waiting.set_exception(error)
