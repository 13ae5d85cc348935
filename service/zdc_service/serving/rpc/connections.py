"""Connections of gRPC's: ending one, and what is not sent yet, for which gRPC itself has no functions."""

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
    """From ``ipv4:1.2.3.4:5`` or ``ipv6:%5B::1%5D:5``; None for what is neither."""
    family, _, address = unquote(peer).partition(":")
    host, _, port = address.rpartition(":")
    if family not in ("ipv4", "ipv6") or not port.isdecimal():
        return None
    return host.strip("[]"), int(port)


def cut(peer: str) -> None:
    """Close the connection from another side; gRPC then ends its calls and frees what it holds for them."""
    address = address_of(peer)
    if address is None:
        return
    for one, (host, port) in _connections():
        if (host.removeprefix("::ffff:"), port) == address:
            with contextlib.suppress(OSError):  # has left
                one.shutdown(socket.SHUT_RDWR)


def unsent(port: int) -> int:
    """Bytes that the systems of the callers of `port` have not acknowledged."""
    size = 0
    for one, _ in _connections():
        with contextlib.suppress(OSError):
            if one.getsockname()[1] == port:
                found = fcntl.ioctl(one.fileno(), termios.TIOCOUTQ, bytes(4))
                size += int.from_bytes(found, sys.byteorder)
    return size


def _connections() -> Iterator[tuple[socket.socket, tuple[str, int]]]:
    """All TCP connections of this process, gRPC's among them, and the callers' addresses."""
    for path in Path("/dev/fd").iterdir():
        with contextlib.suppress(OSError):  # closed by now, or not connected
            if not path.is_socket():
                continue
            with socket.socket(fileno=os.dup(int(path.name))) as one:
                if one.family in (socket.AF_INET, socket.AF_INET6):
                    yield one, one.getpeername()[:2]
