"""What every writer of responses takes."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from zdc_service.files.blocks import hep_package
from zdc_service.files.writers.rows import About, Rows

#: Numbers by name, some of them by reason.
Counts = Mapping[str, int | Mapping[str, int]]


@contextmanager
def named_failures(path: Path) -> Iterator[None]:
    """What fails in writing says where, as opening a file does by itself."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise


class ResultWriter(ABC):
    """Takes the rows of one job, block after block. The file is good once the ``with`` block was left without error.

    Parameters
    ----------
    path : File to write, under a temporary name: what stands there is replaced, and a failure may leave half of it.
    about : What to say of all rows.
    """

    #: Packages of the extra `hep` that it needs, and for what.
    packages: tuple[str, ...] = ()
    purpose = ""

    #: Size of the blocks in which rows are written. Each block costs something in most formats; memory grows with it.
    block_bytes = 8 << 20

    def __init__(self, path: Path, about: About):
        self._path = path
        self._about = about
        self._counts: Counts = {}
        self._gathered: list[Rows] = []
        self._size = 0

    @property
    def _flat_counts(self) -> dict[str, str | int]:
        """What `tell` was told, for formats whose attributes are numbers and texts: counts by reason are JSON."""
        return {name: v if isinstance(v, int) else json.dumps(dict(v)) for name, v in self._counts.items()}

    @classmethod
    def check_packages(cls) -> None:
        """Raise ConfigError where a package that it needs is not installed."""
        for name in cls.packages:
            hep_package(name, cls.purpose)

    def append(self, rows: Rows) -> None:
        """Add rows; each block has the same columns and types, and may have no row.

        Raises
        ------
        OSError : the disk is full.
        """
        self._gathered.append(rows)
        self._size += rows.nbytes
        if self._size >= self.block_bytes:
            self._write_gathered()

    def tell(self, counts: Counts) -> None:
        """What holds for all rows and is known after the last one: numbers, and numbers by reason."""
        self._counts = counts

    def _write_gathered(self) -> None:
        if self._gathered:
            rows, self._gathered, self._size = Rows.concatenate(self._gathered), [], 0
            with named_failures(self._path):
                self._write(rows)

    @abstractmethod
    def _write(self, rows: Rows) -> None:
        """Write a block; the first one makes the file."""

    @abstractmethod
    def _close(self) -> None:
        """Finish the file, with what `tell` was told; called once, whatever happened before."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._write_gathered()
        finally:
            with named_failures(self._path):
                self._close()
