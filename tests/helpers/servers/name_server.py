"""A DNS server on this machine, for names with several addresses."""

import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_A = 1
_ANSWER = 0x8180  # recursion desired and available, no error


@contextmanager
def resolving(addresses: Sequence[str]) -> Iterator[str]:
    """Run a DNS server that answers every query for an IPv4 address with all `addresses`; yields its own address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as served:
        served.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=_answer, args=(served, addresses))
        thread.start()
        port = served.getsockname()[1]
        try:
            yield f"127.0.0.1:{port}"
        finally:
            served.sendto(b"", ("127.0.0.1", port))
            thread.join()


def _answer(served: socket.socket, addresses: Sequence[str]) -> None:
    while True:
        query, caller = served.recvfrom(512)
        if not query:
            return
        end = query.index(b"\0", 12) + 5
        (kind,) = struct.unpack("!H", query[end - 4 : end - 2])
        found = addresses if kind == _A else ()
        records = (b"\xc0\x0c" + struct.pack("!HHIH", _A, 1, 1, 4) + socket.inet_aton(one) for one in found)
        counts = struct.pack("!HHHHH", _ANSWER, 1, len(found), 0, 0)
        served.sendto(query[:2] + counts + query[12:end] + b"".join(records), caller)
