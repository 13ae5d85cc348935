"""Files of bytes, zipped or not, with the position on the disk."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from zdc_detector.errors import FileFormatError

#: What reading a damaged gzip file raises.
GZIP_ERRORS = (gzip.BadGzipFile, EOFError, zlib.error)


def is_gzip(path: Path) -> bool:
    """Whether the file is compressed, by its first bytes: names tell it wrongly where a download unpacked it."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


@contextmanager
def open_bytes(path: Path) -> Iterator[tuple[IO[bytes] | gzip.GzipFile, IO[bytes]]]:
    """The file's content as a stream, and the file as it lies on the disk, whose position tells the progress.

    Raises
    ------
    FileFormatError : in the block, the compression is damaged.
    """
    with path.open("rb") as raw:
        if not is_gzip(path):
            yield raw, raw
            return
        try:
            with gzip.GzipFile(fileobj=raw) as unzipped:
                yield unzipped, raw
        except GZIP_ERRORS as error:
            raise FileFormatError(f"{path}: {error}; the file is damaged or cut short: write it again") from error
