"""Waiting for what another thread or process does."""

import asyncio
import time
from collections.abc import Callable

#: Far beyond what anything that is waited for takes, on a busy machine too.
PATIENCE = 60.0


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until the condition holds; fails after a time limit."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"it did not come about in {PATIENCE:g} s"
        time.sleep(0.002)


async def until(condition: Callable[[], object]) -> None:
    """The same on an event loop."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)
