"""Ending a connection of gRPC's, for which gRPC itself has no function."""

import contextlib
import os
import socket
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
    for path in Path("/dev/fd").iterdir():
        with contextlib.suppress(OSError):  # closed by now, or not connected
            if not path.is_socket():
                continue
            with socket.socket(fileno=os.dup(int(path.name))) as one:
                if one.family in (socket.AF_INET, socket.AF_INET6):
                    host, port = one.getpeername()[:2]
                    if (host.removeprefix("::ffff:"), port) == address:
                        one.shutdown(socket.SHUT_RDWR)
