"""Progress of a job while it runs, and the lines of its summary."""

import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from zdc_common.commands import warn
from zdc_common.words import counted
from zdc_readers import ParticleReader
from zdc_readers.blocks import OF_STATUS

from zdc_service.bulk.folder import PartsFolder
from zdc_service.bulk.job import BulkJob
from zdc_service.bulk.part import PartHead

#: Time between two lines in a log file [s].
LINE_SECONDS = 60.0


@dataclass
class JobTotals:
    """Sums over parts.

    Attributes
    ----------
    parts : Number of parts.
    particles, rows, empty, skipped, extrapolated : Sums of these fields of `PartHead`.
    new_rows : Rows that this run has simulated.
    started : Start of this run, on the clock `time.monotonic`.
    """

    parts: int = 0
    particles: int = 0
    rows: int = 0
    empty: int = 0
    new_rows: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    extrapolated: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.monotonic)

    def add(self, head: PartHead, new: bool) -> None:
        """Add a part: `new` if this run has simulated it, otherwise found in the folder."""
        self.parts += 1
        self.particles += head.particles
        self.rows += head.rows
        self.empty += head.empty
        self.skipped.update(head.skipped)
        self.extrapolated.update(head.extrapolated)
        self.new_rows += head.rows if new else 0

    @property
    def rate(self) -> float:
        """New rows per second."""
        return self.new_rows / max(time.monotonic() - self.started, 1e-9)

    def lines(self, job: BulkJob) -> list[str]:
        """Lines of a summary."""
        lines = [
            f"simulated {counted(self.particles - self.skipped.total(), 'particle')} x {job.repeats} = "
            f"{counted(self.rows, 'row')} with "
            f"{job.model} version {job.version}, seed {job.seed}"
        ]
        for verb, counts in (("skipped", self.skipped), ("extrapolated", self.extrapolated)):
            if counts:
                lines.append(f"{verb} {counts.total()} outside the trained range: {_in_words(counts)}")
        if self.rows > self.new_rows:
            lines.append(f"{self.rows - self.new_rows} of the rows are from earlier runs")
        if self.rows:
            lines.append(f"{self.empty / self.rows:.1%} of the rows are empty; {self.rate:.0f} rows/s")
        return lines


def read_line(reader: ParticleReader, whole: bool = False) -> str:
    """A line on the particles read and left out; with `whole`, on all particles of the source."""
    left_out = f"; left out {reader.skipped.total()}: {_in_words(reader.skipped)}" if reader.skipped else ""
    read = counted(reader.read, "particle")
    if reader.count is not None and reader.read != reader.count:
        there = counted(reader.count, "particle")
        read = there if whole else f"{reader.read} of {there}"
    others = any(reason.startswith(OF_STATUS) for reason in reader.skipped)
    remedy = ["to simulate other status codes, use --status, e.g. --status 1,14"] if others else []
    return "; ".join([f"read {read}{left_out}", *remedy, *reader.notes])


def _in_words(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in counts.most_common())


def kept_line(folder: PartsFolder) -> str:
    """A line on the finished parts of a job that has ended early."""
    parts = len(folder.numbers())
    if not parts:
        return "no file was written"
    return f"{parts} finished parts are kept in {folder.path}; the same command continues from them"


class Display:
    """Shows progress, rate and remaining time on stderr: a bar on a terminal, otherwise a line every minute.

    Parameters
    ----------
    command : First words of each line.
    quiet : Show nothing.
    """

    def __init__(self, command: str, quiet: bool) -> None:
        self._command = command
        self._terminal = sys.stderr.isatty() and not quiet
        self._lines = not sys.stderr.isatty() and not quiet
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not self._terminal,
        )
        self._task = self._progress.add_task(command, total=1.0)
        self._started = self._shown = time.monotonic()

    def __enter__(self) -> "Display":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, totals: JobTotals, share_done: float) -> None:
        """Show the progress.

        Parameters
        ----------
        share_done : Completed fraction of the whole job, including parts of earlier runs.
        """
        text = f"{counted(totals.rows, 'row')}, {totals.rate:.0f} rows/s"
        self._progress.update(self._task, completed=share_done, description=text)
        now = time.monotonic()
        if self._lines and totals.new_rows and now - self._shown >= LINE_SECONDS:
            self._shown = now
            share_of_this_run = share_done * totals.new_rows / totals.rows
            left = timedelta(seconds=round((now - self._started) * (1 - share_done) / share_of_this_run))
            warn(self._command, f"{text}, {share_done:.0%} done, {left} left")
