"""Simulate the missing parts of a job, and write all parts to the output."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from zdc_common.errors import InvalidInputError, ZdcError, rename_row
from zdc_detector.frames import Frame, placed_at_face
from zdc_readers import ParticleBlock, ParticleReader

from zdc_service.bulk.backend import ModelChoice
from zdc_service.bulk.cutting import Cutting, chosen_rows
from zdc_service.bulk.folder import PartsFolder, SourceSummary
from zdc_service.bulk.job import BulkJob
from zdc_service.bulk.part import no_rows
from zdc_service.bulk.report import JobTotals, read_line
from zdc_service.bulk.slices import Slice
from zdc_service.bulk.workers import PartError, Workers
from zdc_service.simulation import OutOfRange
from zdc_service.writers import ResultWriter, create_results

#: Parts that are appended to the output before the workers are served again; they would be idle otherwise.
_APPENDED_AT_ONCE = 2

#: Reason to leave out a particle of a whole event. The model cannot extrapolate to another species.
UNKNOWN_SPECIES = "of a species that the model does not know"

#: Called after each step with the totals and the completed fraction of the job.
Show = Callable[[JobTotals, float], None]


class Production:
    """Simulates missing parts, and appends finished parts to the output in order while later ones are computed.

    Parameters
    ----------
    job : The job.
    folder : Folder of the finished parts, locked.
    reader : The particles.
    workers : Workers that simulate parts, entered.
    show : Called with the progress.
    check : Called between steps; an exception that it raises ends the run.
    """

    def __init__(
        self,
        job: BulkJob,
        folder: PartsFolder,
        reader: ParticleReader,
        workers: Workers,
        show: Show,
        check: Callable[[], None],
    ):
        self._job = job
        self._folder = folder
        self._reader = reader
        reader.calorimeter, reader.frame = job.calorimeter, job.frame
        self._workers = workers
        self._show = show
        self._check = check
        self._places: dict[int, Callable[[int], str]] = {}  # of the parts in progress
        self._cutting = Cutting(job.repeats, job.rows_per_part)
        self._share_of = 0  # number of parts of the slice, 0 if unknown
        self._asked = self._answered = 0
        self._totals = JobTotals()
        self._summary: SourceSummary | None = None

    @property
    def summary(self) -> SourceSummary:
        """Totals of the input, available after `run`."""
        if self._summary is None:
            raise RuntimeError("the source is not read yet")
        return self._summary

    def run(self, chosen: Slice, writer: ResultWriter | None) -> JobTotals:
        """Simulate the missing parts of a slice.

        Parameters
        ----------
        chosen : The slice.
        writer : Writer for the rows of all parts, if the slice is the whole job.

        Raises
        ------
        ZdcError : any error; the finished parts remain for another run.
        """
        total, missing, first = self._known(chosen)
        parts = appended = 0
        for part, place in self._cutting.cut(self._blocks(), first):
            self._check()
            parts = part.number + 1
            if chosen.takes(part.number) if missing is None else part.number in missing:
                self._asked += len(part.particles) * part.repeats
                if self._folder.has(part.number):
                    self._count(part.number, new=False)
                else:
                    while len(self._places) >= self._workers.capacity:
                        self._collect()
                    self._places[part.number] = place
                    self._workers.submit(self._job, part)
            appended = self._append(writer, appended, min(parts, appended + _APPENDED_AT_ONCE))
        parts = parts if total is None else total
        while self._places or (writer is not None and appended < parts):
            self._check()
            if self._places:
                self._collect()
            appended = self._append(writer, appended, parts)
        if total is None:
            self._end_of_source(parts)
        return self._totals

    def _known(self, chosen: Slice) -> tuple[int | None, set[int] | None, int]:
        """Number of parts, numbers of the missing ones, and first particle to read; None, None, 0 if unknown."""
        if self._reader.count is None:
            return None, None, 0
        total = self._cutting.count(self._reader.count)
        self._end_of_source(total)
        stretch = chosen.stretch(total)
        self._share_of = len(stretch)
        missing = []
        for number in stretch:
            self._check()
            if self._folder.has(number):
                self._count(number, new=False)
            else:
                missing.append(number)
        start, stop = self._cutting.particles(range(missing[0], missing[-1] + 1)) if missing else (0, 0)
        self._reader.only(start, stop)
        return total, set(missing), start

    def _blocks(self) -> Iterator[ParticleBlock]:
        """The source's particles; of whole events those that can be extrapolated to, the others are counted."""
        if self._job.out_of_range is not OutOfRange.EXTRAPOLATE or not self._reader.has_whole_events:
            yield from self._placed()
            return
        choice = ModelChoice(self._job.model, self._job.version, self._job.rates)
        known: dict[int, bool] = {}
        for block in self._placed():
            for code in np.unique(block.particles.pdg).tolist():
                if code not in known:
                    known[code] = self._workers.knows(choice, code)
            rows = np.flatnonzero(np.isin(block.particles.pdg, [code for code in known if known[code]]))
            if len(rows) < len(block.particles):
                self._reader.skipped[UNKNOWN_SPECIES] += len(block.particles) - len(rows)
            if len(rows):
                yield chosen_rows(block, rows)

    def _placed(self) -> Iterator[ParticleBlock]:
        """The source's particles; if they are given at the face, with its vz, which the output shows too."""
        for block in self._reader:
            if self._job.frame is Frame.VERTEX:
                yield block
                continue
            try:
                yield replace(block, particles=placed_at_face(block.particles, self._job.calorimeter))
            except InvalidInputError as error:
                raise InvalidInputError(f"{self._reader.source}: {rename_row(error, block.place)}") from error

    def _end_of_source(self, parts: int) -> None:
        self._summary = SourceSummary(
            parts=parts,
            line=read_line(self._reader, whole=True),
            read=self._reader.read if self._reader.count is None else self._reader.count,
            left_out=dict(sorted(self._reader.skipped.items())),
            columns=self._reader.source_columns,
        )
        self._folder.write_source(self._summary)

    def _collect(self) -> None:
        """Wait for a part and write it to the folder."""
        try:
            number, content = self._workers.finished()
        except PartError as error:
            if isinstance(error.cause, ZdcError):
                raise rename_row(error.cause, self._places[error.number]) from error.cause
            raise error.cause from None
        self._folder.write(number, content)
        del self._places[number]
        self._count(number, new=True)

    def _count(self, number: int, new: bool) -> None:
        head = self._folder.head(number, self._job)
        self._totals.add(head, new)
        self._answered += head.asked
        if self._share_of:
            self._show(self._totals, self._totals.parts / self._share_of)
            return
        consumed, whole = self._reader.progress
        # Estimate: the rest of the source is like the part read so far.
        self._show(self._totals, self._answered / self._asked * consumed / max(whole, 1))

    def _append(self, writer: ResultWriter | None, start: int, stop: int) -> int:
        """Write the finished parts from `start` up to `stop`, until one is missing; returns the next part's number."""
        while writer is not None and start < stop and self._folder.has(start):
            self._check()
            for rows in self._folder.rows(start):
                writer.append(rows)
            start += 1
        return start


def produce(production: Production, job: BulkJob, folder: PartsFolder) -> JobTotals:
    """Simulate the missing parts of a whole job and write the output; raises as `Production.run`."""
    with folder.result() as result, create_results(result, job.about) as writer:
        totals = production.run(Slice(), writer)
        _finish(writer, job, production.summary, totals)
    folder.clear()
    return totals


def merge(
    job: BulkJob, folder: PartsFolder, summary: SourceSummary, show: Show, check: Callable[[], None]
) -> JobTotals:
    """Write the output from the complete parts of a job; `show` and `check` as in `Production`.

    Raises
    ------
    FileFormatError : a part is damaged.
    """
    totals = JobTotals()
    with folder.result() as result, create_results(result, job.about) as writer:
        for number in range(summary.parts):
            check()
            totals.add(folder.head(number, job), new=True)
            for rows in folder.rows(number):
                writer.append(rows)
            show(totals, (number + 1) / summary.parts)
        _finish(writer, job, summary, totals)
    folder.clear()
    return totals


def _finish(writer: ResultWriter, job: BulkJob, summary: SourceSummary, totals: JobTotals) -> None:
    """Write the counts, which are known only at the end, and the columns of an output without rows."""
    if not totals.parts:
        writer.append(no_rows(job, summary.columns))
    writer.tell(
        {
            "particles_read": summary.read,
            "left_out": summary.left_out,
            "skipped": dict(sorted(totals.skipped.items())),
            "extrapolated": dict(sorted(totals.extrapolated.items())),
        }
    )
