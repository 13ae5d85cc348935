"""Detects changes of files that a running server must read again."""

import time
from collections.abc import Sequence
from pathlib import Path

#: Seconds between two checks of the files.
_INTERVAL = 1.0

_Signature = tuple[tuple[int, int, int] | None, ...]


class WatchedFiles:
    """Tells whether files have changed; checks them at most once per second, on the calling thread.

    Inodes are compared too, because Kubernetes updates a secret by pointing a link to another folder.
    """

    def __init__(self, paths: Sequence[Path]):
        self._paths = paths
        self._seen = self.signature()
        self._next_look = time.monotonic() + _INTERVAL

    def signature(self) -> _Signature:
        """Inode, time and size of each file; None for a file that does not exist."""
        return tuple(_signature(path) for path in self._paths)

    def changed(self) -> bool:
        """Whether the files have changed since the last call that returned True."""
        now = time.monotonic()
        if now < self._next_look:
            return False
        self._next_look = now + _INTERVAL
        found = self.signature()
        different, self._seen = found != self._seen, found
        return different


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size
