"""The folder beside an output in which finished parts wait, so that a kill loses little and doubles nothing."""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError
from zdc_common.errors import ConfigError, FileFormatError, IncompleteError
from zdc_common.words import counted

from zdc_service.bulk.job import BulkJob
from zdc_service.bulk.part import PartHead, read_head, read_rows
from zdc_service.files import Rows
from zdc_service.files.writers.results import named_failures

_JOB, _SOURCE, _LOCK = "job.json", "source.json", "lock"
_PART = ".part"
_NAMED_PARTS = 20

#: What file systems without locks, and those without hard links, answer.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP)


class SourceSummary(BaseModel):
    """What reading the whole input came to; written by whoever reached its end.

    Attributes
    ----------
    parts : Number of the job's parts.
    line : Particles read and left out, in words.
    read : Particles read.
    left_out : Of these, how many the reader left out, by reason.
    columns : What the source calls its particles, beside their values: names of `Rows.columns`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    parts: int
    line: str
    read: int
    left_out: dict[str, int]
    columns: tuple[str, ...]


class PartsFolder:
    """``<output>.parts`` with ``job.json``, finished parts, and ``source.json`` once the input was read to its end.

    All files appear whole or not at all. Held in a ``with`` block: alone, or with others that make other parts.

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
        """Make and lock it; raises ConfigError where another process works there."""
        self.path.mkdir(exist_ok=True)
        self._lock = os.open(self.path / _LOCK, os.O_CREAT | os.O_RDWR, 0o666)
        try:
            fcntl.flock(self._lock, (fcntl.LOCK_EX if self._alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise ConfigError(
                f"{self.path}: another process works on this output; wait for it, or name another --output"
            ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._alone and not self.numbers():
            self.clear()  # nothing that another run could go on from
        if self._lock is not None:
            os.close(self._lock)

    def job(self) -> BulkJob | None:
        """The job whose parts are here; raises FileFormatError where the job file is damaged."""
        path = self.path / _JOB
        return BulkJob.read(path) if path.exists() else None

    @property
    def left_over(self) -> bool:
        """Whether parts are here without a job: it ended, and its folder was being removed when it was killed."""
        return bool(self.numbers()) and not (self.path / _JOB).exists()

    def start(self, job: BulkJob) -> BulkJob:
        """Give the folder its job; of several that start at the same time one prevails, which is returned."""
        whole = self._write_whole(_JOB, job.model_dump_json(indent=1).encode() + b"\n", keep=True)
        return job if whole else BulkJob.read(self.path / _JOB)

    def source(self) -> SourceSummary | None:
        """What is known of the whole input, if somebody has read it to its end."""
        try:
            return SourceSummary.model_validate_json((self.path / _SOURCE).read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise FileFormatError(f"{self.path / _SOURCE}: is damaged; delete it and run the command again") from error

    def write_source(self, summary: SourceSummary) -> None:
        """Keep what reading the whole input came to."""
        self._write_whole(_SOURCE, summary.model_dump_json().encode() + b"\n")

    def has(self, number: int) -> bool:
        """Whether a part is finished."""
        return self._path_of(number).exists()

    def numbers(self) -> list[int]:
        """The finished parts."""
        return sorted(int(path.stem) for path in self.path.glob(f"*{_PART}") if path.stem.isdigit())

    def write(self, number: int, content: bytes) -> None:
        """Add a finished part."""
        self._write_whole(self._path_of(number).name, content)

    def head(self, number: int, job: BulkJob) -> PartHead:
        """The head of a finished part; raises FileFormatError where it is damaged or of another job."""
        path = self._path_of(number)
        with path.open("rb") as file:
            head = read_head(path, file)
        if (head.job, head.number) != (job.digest, number):
            raise FileFormatError(f"{path}: is part {head.number} of another job; delete it and run the command again")
        return head

    def rows(self, number: int) -> Iterator[Rows]:
        """The rows of a finished part; raises FileFormatError where it is damaged."""
        return read_rows(self._path_of(number))

    def check_complete(self) -> SourceSummary:
        """What is known of the whole input; raises IncompleteError where not all parts are there."""
        summary, there = self.source(), self.numbers()
        if summary is None:
            raise IncompleteError(
                f"{self.path}: has {counted(len(there), 'part')}, and nobody knows of how many: no run has read the "
                "input to its end; the command that made them, without --part, makes the rest"
            )
        missing = sorted(set(range(summary.parts)) - set(there))
        if missing:
            named = ", ".join(map(str, missing[:_NAMED_PARTS])) + (" ..." if len(missing) > _NAMED_PARTS else "")
            some = f"{len(missing)} of {counted(summary.parts, 'part')} {'is' if len(missing) == 1 else 'are'}"
            raise IncompleteError(
                f"{self.path}: {some} missing: {named}; run their slices again, or the command without --part, "
                "which makes the rest"
            )
        return summary

    @contextmanager
    def result(self) -> Iterator[Path]:
        """Where to write what becomes the output, if the block ends well."""
        path = self.path / f"result{self._output.suffix}"
        try:
            yield path
            with path.open("rb") as file:
                os.fsync(file.fileno())
            path.replace(self._output)
        finally:
            path.unlink(missing_ok=True)  # on a full disk, the next run needs its room

    def clear(self) -> None:
        """Remove the folder, its job first: what a kill leaves of it then is no job."""
        (self.path / _JOB).unlink(missing_ok=True)
        shutil.rmtree(self.path, ignore_errors=True)

    def restart(self) -> None:
        """Remove a job and its parts; the folder stays, and locked."""
        (self.path / _JOB).unlink(missing_ok=True)
        for path in self.path.iterdir():
            if path.name != _LOCK:
                path.unlink()

    def _path_of(self, number: int) -> Path:
        return self.path / f"{number:08d}{_PART}"

    def _write_whole(self, name: str, content: bytes, keep: bool = False) -> bool:
        """Write a file so that nobody finds half of it; False where there is one that is to be kept."""
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
