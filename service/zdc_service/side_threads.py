"""Separate threads for calls that may be slow or hang, e.g. access to the models folder."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from zdc_common.errors import OverloadedError

_Result = TypeVar("_Result")


class SideThreads:
    """Runs each call in a new daemon thread, up to a maximum number of threads.

    A call may hang, e.g. on a network file system whose server is down. It then blocks neither a thread of the event
    loop's pool nor the end of the process.
    """

    def __init__(self, most: int, what: str):
        """Allow `most` calls at a time; `what` names them in error messages, in the plural."""
        self._most = most
        self._what = what
        self._lock = threading.Lock()
        self._running = 0

    async def run(self, call: Callable[[], _Result]) -> _Result:
        """Run a call, and return its result or raise its error.

        Raises
        ------
        OverloadedError : too many calls are in progress.
        """
        with self._lock:
            if self._running >= self._most:
                raise OverloadedError(
                    f"{self._running} {self._what} are in progress, the maximum is {self._most}; try again later"
                )
            self._running += 1
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[_Result] = loop.create_future()

        def settle(result: _Result | None, error: BaseException | None) -> None:
            if waiting.done():  # the caller was cancelled
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
