"""Contents and hashes of files."""

import errno
import hashlib
from pathlib import Path


def content_of(path: Path) -> bytes:
    """All bytes of a regular file; raises OSError also for a pipe or a device, which may never end."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "is not a regular file", str(path))
    return path.read_bytes()


def hash_problem(content: bytes, expected: str) -> str | None:
    """What is wrong if the SHA-256 of the content is not the one in a model card, e.g. for a message; None if it is."""
    found = hashlib.sha256(content).hexdigest()
    return None if found == expected else f"sha256 is {found[:12]}..., the card says {expected[:12]}..."


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file; raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
