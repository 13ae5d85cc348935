"""Collects rows of many jobs into batches for the engine; never waits for more while a worker is free."""

import logging
import threading
import time
import weakref
from collections import deque

from zdc_common.errors import DeadlineError, ModelError, NotReadyError, OverloadedError
from zdc_common.words import counted, counted_are
from zdc_detector.finish import Finish, finish_and_sum

from zdc_service.engine.engine import Engine
from zdc_service.simulating.batch import Batch, Slice
from zdc_service.simulating.job import Job
from zdc_service.telemetry.instruments import Instruments
from zdc_service.telemetry.statistics import Timing

log = logging.getLogger(__name__)

#: What a caller is told whose deadline passed.
LATE = "the deadline passed before the simulation was done; allow more time, or send fewer rows"

#: Work is not shared among idle workers below this many rows each: one run costs a fixed overhead.
WORTH_SHARING = 8

_Kind = tuple[Engine, Finish]


class Batcher:
    """Threads that turn queued jobs into results.

    Jobs of one model and finish share batches. A free worker takes at once what is queued; large jobs go through in
    slices of at most a batch, in turns with the others, so that they hold nobody up for longer than one slice. What
    goes wrong in a batch fails the job that caused it. Cancelled and late jobs cost no computation.

    Attributes
    ----------
    threads : Batches that are computed at the same time, at most.
    """

    def __init__(self, threads: int, max_queue_rows: int, instruments: Instruments):
        self.threads = threads
        self._max_queue_rows = max_queue_rows
        self._instruments = instruments
        self._changed = threading.Condition(threading.RLock())  # a future's callbacks may run under it
        self._queues: dict[_Kind, deque[Job]] = {}  # in the order of their turns
        self._queued_rows = 0
        self._active = 0  # threads that compute, at most `threads`
        self._closed = False
        self._workers = [threading.Thread(target=self._work, name=f"batcher-{i}", daemon=True) for i in range(threads)]
        for worker in self._workers:
            worker.start()

    def __enter__(self) -> "Batcher":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, job: Job, wake: bool = True) -> None:
        """Queue a job; its future gets the result.

        Without `wake`, it waits for `help`, or for a worker that comes back from another batch.

        Raises
        ------
        OverloadedError : more rows would wait than the queue holds.
        NotReadyError : the batcher is closed.
        """
        rows = job.stop - job.next_row
        with self._changed:
            self._check_room(rows)
            self._queues.setdefault((job.plan.engine, job.plan.finish), deque()).append(job)
            self._count(rows)
            job.plan.engine.statistics.queued(job.plan.tally.requests)
            if wake:
                self._wake()
        # The future keeps its callbacks: one that held the job would make a cycle with the results in it.
        reference = weakref.ref(job)
        job.future.add_done_callback(lambda future: self._forget(reference()) if future.cancelled() else None)

    def help(self, seconds: float) -> None:
        """Compute one batch on the calling thread, if there is one that takes at most about `seconds`.

        To be called by a thread that has just submitted, where handing a short batch to another thread would take
        longer than the batch. Wakes workers for what is left.
        """
        with self._changed:
            slices = self._take(seconds)
            self._wake()
        if slices:
            self._run(slices)

    def reserve(self, rows: int) -> None:
        """Count rows as waiting that will be submitted later; raises what `submit` raises."""
        with self._changed:
            self._check_room(rows)
            self._count(rows)

    def release(self, rows: int) -> None:
        """The end of `reserve`, before its rows are submitted."""
        with self._changed:
            self._count(-rows)

    def share(self, rows: int) -> int:
        """How many of some rows each thread should compute, where they are cut up before they are submitted."""
        return max(WORTH_SHARING, -(-rows // self.threads))

    def close(self) -> None:
        """Accept nothing more, finish what is queued, stop the workers."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for worker in self._workers:
            worker.join()

    def _check_room(self, rows: int) -> None:
        if self._closed:
            raise NotReadyError("the server is shutting down; ask another one, or later")
        if self._queued_rows + rows > self._max_queue_rows:
            raise OverloadedError(
                f"{counted_are(self._queued_rows, 'row')} waiting and {rows} more would pass the limit of "
                f"{self._max_queue_rows}; try again later"
            )

    def _wake(self) -> None:
        """Let a worker look for work; it will wake the next one if there is more."""
        if self._queues and self._active < self.threads:
            self._changed.notify()

    def _count(self, rows: int) -> None:
        self._queued_rows += rows
        self._instruments.queue_rows.set(self._queued_rows)

    def _forget(self, job: Job | None) -> None:
        """Drop a job that was cancelled, unless nobody has it any more."""
        if job is None:
            return
        job.plan.tally.failed("cancelled")
        kind = (job.plan.engine, job.plan.finish)
        with self._changed:
            queue = self._queues.get(kind)
            if queue is not None and job in queue:
                queue.remove(job)
                self._count(job.next_row - job.stop)
                if job.next_row == job.start:
                    job.plan.engine.statistics.queued(-job.plan.tally.requests)
                if not queue:
                    del self._queues[kind]

    def _work(self) -> None:
        while self._work_once():
            pass

    def _work_once(self) -> bool:
        """Compute a batch, of which nothing is kept while the next one is awaited; False at the end."""
        slices = self._wait()
        if slices:
            self._run(slices)
        return bool(slices)

    def _run(self, slices: list[Slice]) -> None:
        try:
            self._compute(slices)
        except Exception as error:
            self._compute_apart(slices, error)
        finally:
            with self._changed:
                self._active -= 1
                self._wake()

    def _wait(self) -> list[Slice]:
        """Wait for rows and take a batch of one kind; empty when closed and nothing is left."""
        with self._changed:
            while True:
                if slices := self._take():
                    self._wake()
                    return slices
                if self._closed and not self._queues:
                    self._changed.notify_all()
                    return []
                self._changed.wait()

    def _take(self, seconds: float | None = None) -> list[Slice]:
        """A batch of one kind for a thread that is free; none where enough threads compute, or it would take longer."""
        while self._queues and self._active < self.threads:
            kind = next(iter(self._queues))
            engine = kind[0]
            share = max(WORTH_SHARING, -(-self._queued_rows // (self.threads - self._active)))
            room = min(share, engine.max_batch_rows)
            if seconds is not None:
                room = min(room, int(seconds / engine.row_seconds))
                if room == 0:
                    break
            queue = self._queues.pop(kind)
            slices = self._slices(queue, room)
            if queue:
                self._queues[kind] = queue  # behind the other kinds
            if slices:
                self._active += 1
                return slices
        return []

    def _slices(self, queue: deque[Job], room: int) -> list[Slice]:
        now = time.monotonic()
        slices = []
        while queue and room:
            job = queue.popleft()
            start = job.next_row
            late = job.deadline is not None and now > job.deadline
            if late:
                job.fail(DeadlineError(LATE))
            if job.future.done():
                self._count(start - job.stop)
                if start == job.start:
                    job.plan.engine.statistics.queued(-job.plan.tally.requests)
                continue
            if start == job.start:
                job.waited = now - job.submitted
                self._instruments.queue_seconds.observe(job.waited)
                job.plan.engine.statistics.queued(-job.plan.tally.requests)
            stop = min(start + room, job.stop)
            job.next_row = stop
            room -= stop - start
            self._count(start - stop)
            slices.append(Slice(job, start, stop))
            if stop < job.stop:
                queue.append(job)
        return slices

    def _compute(self, slices: list[Slice]) -> None:
        """Compute and deliver; raises before anything is delivered, so that a slice is never delivered twice."""
        began = time.monotonic()
        plan = slices[0].job.plan
        card, statistics = plan.engine.card, plan.engine.statistics
        try:
            batch = Batch(slices)
            prepared = time.monotonic()
            rates = plan.engine.run(batch.conditions, batch.noise, batch.pdg)
        except Exception as error:  # of onnxruntime, or for want of memory: it does not name the model
            rows = counted(sum(part.stop - part.start for part in slices), "row")
            raise ModelError(f"{card.name} version {card.version} cannot compute {rows}: {error}") from error
        ran = time.monotonic()
        try:
            images, channels = finish_and_sum(rates, plan.finish, batch.seeds, batch.rows, card.calorimeter)
        except ModelError as error:
            raise ModelError(f"{card.name} version {card.version} gave {error}") from error
        ended = time.monotonic()
        timing = Timing(0.0, prepared - began, ran - prepared, ended - ran)
        statistics.executed(len(images), timing)
        at = 0
        for part in slices:
            end = at + part.stop - part.start
            waited = part.job.waited if part.start == part.job.start else 0.0
            try:
                part.job.deliver(part.start, images[at:end], channels[at:end], timing._replace(queue=waited))
            except Exception as error:
                part.job.fail(error)
            at = end

    def _compute_apart(self, slices: list[Slice], error: Exception) -> None:
        """After an error in a batch: find the job that it belongs to, and finish the others."""
        if len(slices) == 1:
            slices[0].job.fail(error)
            return
        log.warning("a batch of %d jobs failed and is computed job by job: %s", len(slices), error)
        for part in slices:
            try:
                self._compute([part])
            except Exception as own:
                part.job.fail(own)
