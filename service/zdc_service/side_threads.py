"""Threads of their own for calls that may take long or hang, such as those that touch the models folder."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from zdc_common.errors import OverloadedError

_Result = TypeVar("_Result")


class SideThreads:
    """A bounded number of daemon threads, one a call.

    A call that hangs, as on a network file system without its server, takes no thread from the event loop's pool, and
    does not keep the process from ending.
    """

    def __init__(self, most: int, what: str):
        """`most` calls at a time; `what` they are, in the plural, for the refusal of more."""
        self._most = most
        self._what = what
        self._lock = threading.Lock()
        self._running = 0

    async def run(self, call: Callable[[], _Result]) -> _Result:
        """The result of a call, or its error.

        Raises
        ------
        OverloadedError : too many calls are under way.
        """
        with self._lock:
            if self._running >= self._most:
                raise OverloadedError(
                    f"{self._running} {self._what} are under way, the most at a time; try again later"
                )
            self._running += 1
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[_Result] = loop.create_future()

        def settle(result: _Result | None, error: BaseException | None) -> None:
            if waiting.done():  # nobody waits any more
                return
            if error is None:
                waiting.set_result(result)  # type: ignore[arg-type]
            else:
                waiting.set_exception(error)

        def work() -> None:
            result, error = None, None
            try:
                result = call()
            except BaseException as raised:
                error = raised
            with self._lock:
                self._running -= 1
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(settle, result, error)

        try:
            threading.Thread(target=work, name=self._what, daemon=True).start()
        except RuntimeError:  # the system has no thread left
            with self._lock:
                self._running -= 1
            raise
        return await waiting
