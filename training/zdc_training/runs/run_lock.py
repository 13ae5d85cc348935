"""A lock for one training at a time in a folder; the operating system releases it when the process ends."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from zdc_common.errors import ConfigError
from zdc_common.file_lock import take_lock

LOCK_FILE = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """A context that creates the folder and holds its lock; on a file system without locks, there is no lock.

    Raises
    ------
    ConfigError : another process has the lock; names the process.
    OSError : the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Truncated only with the lock: it has the name of the holder. Never removed: another process may have it open.
        opened = (folder / LOCK_FILE).open("a+")
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; choose another folder by --run", str(folder)) from error
    with opened as file:
        _take(file, folder)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def check_free(folder: Path) -> None:
    """Raise ConfigError if another process has the lock of the folder; writes nothing."""
    try:
        file = (folder / LOCK_FILE).open()
    except OSError:
        return
    with file:
        _take(file, folder)


def _take(file: IO[str], folder: Path) -> None:
    if not take_lock(file):
        file.seek(0)
        holder = file.read(100) or "another process"
        raise ConfigError(f"{holder} trains in {folder}; wait until it ends, stop it, or choose another --run")
