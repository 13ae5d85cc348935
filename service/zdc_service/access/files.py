"""Files that are read again when they change."""

import time
from collections.abc import Sequence
from pathlib import Path

#: Seconds between two looks at the files.
_INTERVAL = 1.0

_Signature = tuple[tuple[int, int, int] | None, ...]


class WatchedFiles:
    """Tells whether files are other than they were; costs a call per second at most, on whatever thread asks.

    Kubernetes replaces a secret by turning a link to another folder, hence inodes beside times.
    """

    def __init__(self, paths: Sequence[Path]):
        self._paths = paths
        self._seen = self.signature()
        self._next_look = time.monotonic() + _INTERVAL

    def signature(self) -> _Signature:
        """What changes with the files; None stands for one that is not there."""
        return tuple(_signature(path) for path in self._paths)

    def changed(self) -> bool:
        """Whether the files are other than at the last call that said so; looks once a second."""
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
