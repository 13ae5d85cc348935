"""The folder with the finished parts of a job, beside its output: after a kill, finished parts are not repeated."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import ValidationError
from zdc_common.errors import ConfigError, FileFormatError, IncompleteError
from zdc_common.file_lock import take_lock
from zdc_common.frozen import Frozen
from zdc_common.words import counted

from zdc_service.bulk.job import BulkJob
from zdc_service.bulk.part import PartHead, read_head, read_rows
from zdc_service.writers import Rows
from zdc_service.writers.results import named_failures

_JOB, _SOURCE, _LOCK = "job.json", "source.json", "lock"
_PART = ".part"
_NAMED_PARTS = 20

#: Error codes of file systems without hard links.
_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP)


class SourceSummary(Frozen):
    """Totals of the whole input, written by the first run that has read it to its end.

    Attributes
    ----------
    parts : Number of parts of the job.
    line : Summary for the user: particles read and left out.
    read : Number of particles read.
    left_out : Number of these that the reader left out, by reason.
    columns : Names of `Rows.columns`.
    """

    parts: int
    line: str
    read: int
    left_out: dict[str, int]
    columns: tuple[str, ...]


class PartsFolder:
    """``<output>.parts`` with ``job.json``, the finished parts, and ``source.json`` after the whole input was read.

    Files appear complete or not at all. A ``with`` block locks the folder: exclusively if `alone`, otherwise shared
    with processes that simulate other slices.

    Attributes
    ----------
    path : The folder.
    """

    def __init__(self, output: Path, alone: bool):
        self.path = output.with_name(output.name + ".parts")
        self._output = output
        self._alone = alone
        self._lock: int | None = None

    def __enter__(self) -> Self:
        """Create and lock the folder; raises ConfigError if another process uses it."""
        self.path.mkdir(exist_ok=True)
        self._lock = os.open(self.path / _LOCK, os.O_CREAT | os.O_RDWR, 0o666)
        if not take_lock(self._lock, shared=not self._alone):
            os.close(self._lock)
            raise ConfigError(
                f"{self.path}: another process works on this output; wait for it, or choose another --output"
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._alone and not self.numbers():
            self.clear()  # there is no part from which another run could continue
        if self._lock is not None:
            os.close(self._lock)

    def job(self) -> BulkJob | None:
        """The job of the folder, None if there is no job file; raises FileFormatError if the file is damaged."""
        path = self.path / _JOB
        return BulkJob.read(path) if path.exists() else None

    @property
    def left_over(self) -> bool:
        """Whether there are parts without a job file: the remainder of a job that was killed while it removed them."""
        return bool(self.numbers()) and not (self.path / _JOB).exists()

    def start(self, job: BulkJob) -> BulkJob:
        """Write the job file. If several processes start jobs at the same time, one job wins; it is returned."""
        whole = self._write_whole(_JOB, job.model_dump_json(indent=1).encode() + b"\n", keep=True)
        return job if whole else BulkJob.read(self.path / _JOB)

    def source(self) -> SourceSummary | None:
        """The totals of the input; None if no run has read it to its end yet."""
        try:
            return SourceSummary.model_validate_json((self.path / _SOURCE).read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise FileFormatError(
                f"{self.path / _SOURCE}: the file is damaged; delete it and run the command again"
            ) from error

    def write_source(self, summary: SourceSummary) -> None:
        """Write the totals of the input."""
        self._write_whole(_SOURCE, summary.model_dump_json().encode() + b"\n")

    def has(self, number: int) -> bool:
        """Whether a part is finished."""
        return self._path_of(number).exists()

    def numbers(self) -> list[int]:
        """Numbers of the finished parts, sorted."""
        return sorted(int(path.stem) for path in self.path.glob(f"*{_PART}") if path.stem.isdigit())

    def write(self, number: int, content: bytes) -> None:
        """Write a finished part."""
        self._write_whole(self._path_of(number).name, content)

    def head(self, number: int, job: BulkJob) -> PartHead:
        """The head of a finished part; raises FileFormatError if it is damaged or belongs to another job."""
        path = self._path_of(number)
        with path.open("rb") as file:
            head = read_head(path, file)
        if (head.job, head.number) != (job.digest, number):
            raise FileFormatError(
                f"{path}: the file is part {head.number} of another job; delete it and run the command again"
            )
        return head

    def rows(self, number: int) -> Iterator[Rows]:
        """The rows of a finished part; raises FileFormatError if it is damaged."""
        return read_rows(self._path_of(number))

    def check_complete(self) -> SourceSummary:
        """The totals of the input; raises IncompleteError if parts are missing."""
        summary, there = self.source(), self.numbers()
        if summary is None:
            raise IncompleteError(
                f"{self.path}: found {counted(len(there), 'part')} of an unknown number, because no run has read the "
                "input to its end; run zdc simulate without --part to simulate the rest"
            )
        missing = sorted(set(range(summary.parts)) - set(there))
        if missing:
            named = ", ".join(map(str, missing[:_NAMED_PARTS])) + (" ..." if len(missing) > _NAMED_PARTS else "")
            some = f"{len(missing)} of {counted(summary.parts, 'part')} {'is' if len(missing) == 1 else 'are'}"
            raise IncompleteError(
                f"{self.path}: {some} missing: {named}; run their slices again, or zdc simulate without --part"
            )
        return summary

    @contextmanager
    def result(self) -> Iterator[Path]:
        """A temporary path, which becomes the output if the block ends without an error."""
        path = self.path / f"result{self._output.suffix}"
        try:
            yield path
            with path.open("rb") as file:
                os.fsync(file.fileno())
            path.replace(self._output)
        finally:
            path.unlink(missing_ok=True)  # frees the space on a full disk

    def clear(self) -> None:
        """Remove the folder. The job file goes first, so that after a kill the remainder is recognised."""
        (self.path / _JOB).unlink(missing_ok=True)
        shutil.rmtree(self.path, ignore_errors=True)

    def restart(self) -> None:
        """Remove the job and its parts, but keep the folder and its lock."""
        (self.path / _JOB).unlink(missing_ok=True)
        for path in self.path.iterdir():
            if path.name != _LOCK:
                path.unlink()

    def _path_of(self, number: int) -> Path:
        return self.path / f"{number:08d}{_PART}"

    def _write_whole(self, name: str, content: bytes, keep: bool = False) -> bool:
        """Write a file atomically. With `keep`, an existing file is kept, and the result is False."""
        temporary = self.path / f"{name}.{os.uname().nodename}.{os.getpid()}.tmp"
        try:
            with named_failures(self.path), temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if keep:
                try:
                    os.link(temporary, self.path / name)
                    return True
                except FileExistsError:
                    return False
                except OSError as error:
                    if error.errno not in _NO_LINKS:
                        raise
                    if (self.path / name).exists():
                        return False
            temporary.replace(self.path / name)
            return True
        finally:
            temporary.unlink(missing_ok=True)
