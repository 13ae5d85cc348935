"""A server in a separate process, with all processes that it has started."""

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress

from usage import cpu_seconds, descendants

_STOP_SECONDS = 15.0


class ProcessTree:
    """All processes of a server."""

    def __init__(self, process: "subprocess.Popen[bytes] | subprocess.Popen[str]"):
        self._process = process

    def cpu_seconds(self) -> float:
        """Processor time of all of them [s]."""
        total = 0.0
        for pid in descendants(self._process.pid):
            with suppress(OSError):
                total += cpu_seconds(pid)
        return total

    def ended(self) -> bool:
        """Whether the server has ended without `stop`."""
        return self._process.poll() is not None

    def stop(self) -> None:
        """Send SIGTERM to the server, then kill all processes that have not ended."""
        tree = descendants(self._process.pid)
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_SECONDS)
        for pid in tree:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()


def free_port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(address: str, request: bytes, timeout: float = 5.0) -> bool:
    """Whether a server answers a request over HTTP with 200."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout) as connection:
            connection.sendall(request)
            return connection.recv(16).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def wait_for_answer(tree: ProcessTree, address: str, request: bytes, seconds: float) -> None:
    """Wait until a new server answers; raises RuntimeError if it ends, or does not answer within `seconds`."""
    began = time.monotonic()
    while not answers(address, request):
        if tree.ended() or time.monotonic() > began + seconds:
            raise RuntimeError("it ended" if tree.ended() else f"no answer within {seconds:g} s")
        time.sleep(0.2)
