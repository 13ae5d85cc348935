"""Contents and hashes of files."""

import errno
import hashlib
from pathlib import Path


def content_of(path: Path) -> bytes:
    """All bytes of a regular file; raises OSError also for a pipe or a device, which may never end."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "is not a regular file", str(path))
    return path.read_bytes()


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file; raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
