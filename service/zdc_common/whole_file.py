"""Files and folders that are written completely or not at all."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path to write to. It is renamed to `path` at the end of the block, or deleted after an exception."""
    part = path.with_name(path.name + ".part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: Path, content: str) -> None:
    """Write a text; no reader ever sees an incomplete file."""
    with whole_file(path) as part:
        part.write_text(content)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """An empty folder to fill. It replaces `path` at the end of the block, or is deleted after an exception."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".part-") as scratch:
        folder = Path(scratch) / path.name
        folder.mkdir()
        yield folder
        if path.exists():
            shutil.rmtree(path)
        folder.rename(path)
