"""Limits the replies of one stream that are accepted but not sent yet."""

import asyncio
from collections import deque

from zdc_service.serving.rpc.callers import Callers

#: Maximum number of bytes of one stream's unsent replies.
_WINDOW_BYTES = 8 * 1024 * 1024
#: Seconds between two checks for room in the budget that all streams share.
_POLL_SECONDS = 0.02


class Window:
    """Makes a stream's task wait while its stream, or all clients together, hold too many bytes.

    Only one task may call `acquire`. Each stream may have one unsent reply as soon as the budget has room for it. It
    may have more, computed before the client has read the first, only while all clients together hold less than half of
    the budget.
    """

    def __init__(self, callers: Callers, replies: int | None = None):
        """Use the budget of `callers`; hold at most `replies` unsent replies (None: no limit on their number)."""
        self._callers = callers
        self._budget = callers.budget
        self._replies = replies
        self._sizes: deque[int] = deque()
        self._held = 0
        self._freed = asyncio.Event()

    async def acquire(self, size: int) -> None:
        """Wait for room for a reply of `size` bytes; a reply larger than the window must be the only one."""
        while not self._take(size):
            if not self._sizes:
                self._callers.make_room()
            self._freed.clear()
            try:
                # `release` reports bytes freed by this stream; bytes freed by other streams are not reported.
                async with asyncio.timeout(None if self._sizes else _POLL_SECONDS):
                    await self._freed.wait()
            except TimeoutError:
                continue

    def release(self) -> None:
        """Give back the bytes of the oldest reply, which has been sent."""
        self._give_back(self._sizes.popleft())

    def close(self, sending: int = 0) -> None:
        """Give back the bytes of all replies except the oldest `sending`."""
        while len(self._sizes) > sending:
            self._give_back(self._sizes.pop())

    def _take(self, size: int) -> bool:
        if self._sizes:
            full = self._replies is not None and len(self._sizes) >= self._replies
            if full or self._held + size > _WINDOW_BYTES or 2 * (self._budget.held + size) > self._budget.limit:
                return False
        if not self._budget.take(size):
            return False
        self._sizes.append(size)
        self._held += size
        return True

    def _give_back(self, size: int) -> None:
        self._budget.give_back(size)
        self._held -= size
        self._freed.set()
