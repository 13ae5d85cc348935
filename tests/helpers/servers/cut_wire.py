"""A connection to a server that can be interrupted without a message to either end."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Wire:
    """Forwards bytes in both directions; after `cut`, it receives bytes but drops them.

    Attributes
    ----------
    address : Address that clients connect to.
    passed : Number of forwarded bytes, of both directions.
    """

    def __init__(self, server: str):
        host, _, port = server.rpartition(":")
        self._server = (host, int(port))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._cut = threading.Event()
        self.passed = 0
        self._ends: list[socket.socket] = []
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Drop all further bytes."""
        self._cut.set()

    def close(self) -> None:
        """Close the connections and end the threads."""
        for end in (self._listening, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(self._server)
                self._ends += [near, far]
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if not self._cut.is_set():
                    target.sendall(data)
                    self.passed += len(data)


@contextmanager
def wire_to(server: str) -> Iterator[Wire]:
    """An interruptible connection to a server's host and port."""
    wire = Wire(server)
    try:
        yield wire
    finally:
        wire.close()
