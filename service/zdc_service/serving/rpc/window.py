"""The replies of one stream between acceptance and sending."""

import asyncio
from collections import deque

from zdc_service.serving.rpc.callers import Callers

#: Bytes of one stream's replies; a slow reader holds up no more.
_WINDOW_BYTES = 8 * 1024 * 1024
#: Seconds between two looks for room in the budget that all streams share.
_POLL_SECONDS = 0.02


class Window:
    """Holds back the one task that acquires while its stream, or all callers together, hold too many bytes.

    Each stream may always have one reply on its way, as soon as the budget has room for it. More, computed ahead of
    what the caller has read, only while all callers together hold less than half of the budget.
    """

    def __init__(self, callers: Callers, replies: int | None = None):
        """Take from the budget of `callers`; hold at most so many `replies`."""
        self._callers = callers
        self._budget = callers.budget
        self._replies = replies
        self._sizes: deque[int] = deque()
        self._held = 0
        self._freed = asyncio.Event()

    async def acquire(self, size: int) -> None:
        """Wait for room for a reply of `size` bytes; one that is larger than the window has it for itself."""
        while not self._take(size):
            if not self._sizes:
                self._callers.make_room()
            self._freed.clear()
            try:
                # What is this stream's own comes back with `release`; of what others give back nobody tells.
                async with asyncio.timeout(None if self._sizes else _POLL_SECONDS):
                    await self._freed.wait()
            except TimeoutError:
                continue

    def release(self) -> None:
        """The oldest reply has been sent."""
        self._give_back(self._sizes.popleft())

    def close(self, sending: int = 0) -> None:
        """Forget the replies, but for the oldest `sending`."""
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
