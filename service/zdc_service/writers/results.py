"""Base class of the writers of responses."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from zdc_common.optional_packages import hep_package

from zdc_service.writers.rows import FileDescription, Rows

#: Counts by name; a count may be split by reason.
Counts = Mapping[str, int | Mapping[str, int]]


@contextmanager
def named_failures(path: Path) -> Iterator[None]:
    """Add the path to an OSError without a file name, such as a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise


class ResultWriter(ABC):
    """Writes the rows of one job, block by block; the file is complete after a ``with`` block without an error.

    Parameters
    ----------
    path : Temporary path to write to. An existing file is replaced; after an error, the file may be incomplete.
    about : Attributes of all rows.
    """

    #: Packages of the extra `hep` that the writer needs, and their purpose for messages.
    packages: tuple[str, ...] = ()
    purpose = ""

    #: Bytes of the blocks in which rows are written. Smaller blocks cost time in most formats; larger ones cost memory.
    block_bytes = 8 << 20

    def __init__(self, path: Path, about: FileDescription):
        self._path = path
        self._about = about
        self._counts: Counts = {}
        self._gathered: list[Rows] = []
        self._size = 0

    @property
    def _flat_counts(self) -> dict[str, str | int]:
        """The counts given to `tell`, with counts by reason as JSON, for attributes that are numbers or strings."""
        return {name: v if isinstance(v, int) else json.dumps(dict(v)) for name, v in self._counts.items()}

    @classmethod
    def check_packages(cls) -> None:
        """Raise ConfigError if a package that the writer needs is not installed."""
        for name in cls.packages:
            hep_package(name, cls.purpose)

    def append(self, rows: Rows) -> None:
        """Add rows. All blocks have the same columns and types; a block may be empty.

        Raises
        ------
        OSError : the disk is full.
        """
        self._gathered.append(rows)
        self._size += rows.nbytes
        if self._size >= self.block_bytes:
            self._write_gathered()

    def tell(self, counts: Counts) -> None:
        """Set the counts of the job, which are known after its last row."""
        self._counts = counts

    def _write_gathered(self) -> None:
        if self._gathered:
            rows, self._gathered, self._size = Rows.concatenate(self._gathered), [], 0
            with named_failures(self._path):
                self._write(rows)

    @abstractmethod
    def _write(self, rows: Rows) -> None:
        """Write a block; the first call creates the file."""

    @abstractmethod
    def _close(self) -> None:
        """Write the counts and close the file; called once, also after an error."""

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
