"""Close a gRPC connection, and count unsent bytes: gRPC itself has no functions for this."""

import contextlib
import fcntl
import os
import socket
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote


def address_of(peer: str) -> tuple[str, int] | None:
    """Host and port from ``ipv4:1.2.3.4:5`` or ``ipv6:%5B::1%5D:5``; None for any other form."""
    family, _, address = unquote(peer).partition(":")
    host, _, port = address.rpartition(":")
    if family not in ("ipv4", "ipv6") or not port.isdecimal():
        return None
    return host.strip("[]"), int(port)


def cut(peer: str) -> None:
    """Shut down the socket of a connection; gRPC then ends its calls and frees their memory."""
    address = address_of(peer)
    if address is None:
        return
    for one, (host, port) in _connections():
        if (host.removeprefix("::ffff:"), port) == address:
            with contextlib.suppress(OSError):  # already disconnected
                one.shutdown(socket.SHUT_RDWR)


def unsent(port: int) -> int:
    """Number of bytes sent from `port` that the clients' systems have not acknowledged."""
    size = 0
    for one, _ in _connections():
        with contextlib.suppress(OSError):
            if one.getsockname()[1] == port:
                found = fcntl.ioctl(one.fileno(), termios.TIOCOUTQ, bytes(4))
                size += int.from_bytes(found, sys.byteorder)
    return size


def _connections() -> Iterator[tuple[socket.socket, tuple[str, int]]]:
    """All TCP connections of this process, including those of gRPC, with the clients' addresses."""
    for path in Path("/dev/fd").iterdir():
        with contextlib.suppress(OSError):  # closed in the meantime, or not connected
            if not path.is_socket():
                continue
            with socket.socket(fileno=os.dup(int(path.name))) as one:
                if one.family in (socket.AF_INET, socket.AF_INET6):
                    yield one, one.getpeername()[:2]
