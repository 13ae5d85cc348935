"""Calls on separate threads: their number is limited, and they do not delay the end of a process."""

import asyncio
import subprocess
import sys
import threading

import pytest
from helpers.waiting import PATIENCE, until
from zdc_common.errors import ModelError, OverloadedError
from zdc_service.side_threads import SideThreads

HANGING = """
import asyncio, threading
from zdc_service.side_threads import SideThreads

async def main():
    asyncio.ensure_future(SideThreads(1, "looks").run(threading.Event().wait))
    await asyncio.sleep(0.05)

asyncio.run(main())
print("ended")
"""


def test_results_and_errors_come_back() -> None:
    asyncio.run(results_and_errors())


async def results_and_errors() -> None:
    threads = SideThreads(1, "looks")

    def fail() -> None:
        raise ModelError("no such model")

    for _ in range(3):
        assert await threads.run(lambda: threading.current_thread().daemon) is True
        with pytest.raises(ModelError, match="no such model"):
            await threads.run(fail)


def test_more_calls_than_threads_are_refused() -> None:
    asyncio.run(more_calls_than_threads())


async def more_calls_than_threads() -> None:
    threads, go_on = SideThreads(2, "changes of models"), threading.Event()
    waiting = [asyncio.ensure_future(threads.run(lambda: go_on.wait(PATIENCE))) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError, match="2 changes of models are in progress"):
        await threads.run(go_on.is_set)
    waiting[0].cancel()  # cancels the caller, not the thread
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError):
        await threads.run(go_on.is_set)
    go_on.set()
    assert await waiting[1] is True
    await until(lambda: not threads._running)
    assert await threads.run(go_on.is_set) is True


def test_a_hanging_call_does_not_delay_the_end_of_a_process() -> None:
    done = subprocess.run([sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout == "ended\n"
