"""What waits for a free thread, and in which order it is taken."""

import threading
import time
import weakref
from collections import Counter, deque

from zdc_common.errors import NotReadyError, OverloadedError
from zdc_common.words import counted_are

from zdc_service.engine.engine import Engine
from zdc_service.simulating.bundling import SMALL_ROWS, SmallRequest
from zdc_service.simulating.job import Job, JobRows
from zdc_service.simulating.plan import Kind

#: Minimum number of rows of a thread's share of the work: one run of a model costs as much as several rows.
WORTH_SHARING = 8


class Work:
    """What one thread computes as one batch.

    Attributes
    ----------
    kind : Model and finish of all its rows.
    job_rows, small : Rows of jobs, and small requests.
    late : Jobs and small requests whose deadline has passed; they are not computed.
    """

    def __init__(self, kind: Kind):
        self.kind = kind
        self.job_rows: list[JobRows] = []
        self.small: list[SmallRequest] = []
        self.late: list[Job | SmallRequest] = []


class _Line:
    """What waits for one model and finish: jobs in the order of their turns, small requests as they arrived."""

    def __init__(self) -> None:
        self.jobs: deque[Job] = deque()
        self.small: dict[SmallRequest, None] = {}
        self.small_rows = 0

    def __len__(self) -> int:
        """Number of requests and jobs."""
        return len(self.jobs) + len(self.small)

    def drop(self, one: Job | SmallRequest) -> bool:
        """Take a job or a small request out; returns whether it was there."""
        if isinstance(one, Job):
            found = one in self.jobs
            if found:
                self.jobs.remove(one)
        else:
            found = one in self.small
            if found:
                del self.small[one]
                self.small_rows -= one.rows
        return found

    def take(self, work: Work, room: int) -> int:
        """Move at most `room` rows into a batch, drop cancelled and late ones; returns how many rows left the line."""
        now = time.monotonic()
        gone, room = self._take_small(work, room, now)
        while self.jobs and room:
            job = self.jobs.popleft()
            if job.future.done():
                gone += job.rows
            elif job.deadline is not None and now > job.deadline:
                work.late.append(job)
                gone += job.rows
            else:
                taken = job.take(room, now)
                work.job_rows.append(taken)
                gone += taken.rows
                room -= taken.rows
                if job.rows:
                    self.jobs.append(job)
        return gone

    def _take_small(self, work: Work, room: int, now: float) -> tuple[int, int]:
        """`take` for small requests only; returns how many rows left the line, and the room that is left."""
        most = max(room // 2, min(room, SMALL_ROWS)) if self.jobs else room
        taken = []
        for one in self.small:
            if one.deadline is not None and now > one.deadline:
                work.late.append(one)
            elif not one.waiting.done():
                if one.rows > most:
                    break
                work.small.append(one)
                most -= one.rows
                room -= one.rows
            taken.append(one)
        for one in taken:
            self.drop(one)
        return sum(one.rows for one in taken), room


class WorkQueue:
    """All rows that wait for a thread, and the number of threads that compute. Thread-safe.

    A free thread takes at once what waits for one model and finish, at most a batch: small requests first, with at most
    half of the batch if jobs wait too, then some rows of each job in turn. So a large job delays a small request by at
    most one batch. Models and finishes have their turns too. Cancelled and late rows are not computed.

    Small requests of one kind with fewer than `WORTH_SHARING` rows wait while a batch with small requests of this kind
    is computed. After it, they are computed together with later ones, which takes less time than several batches.
    """

    def __init__(self, threads: int, most_rows: int):
        """At most `threads` threads compute at the same time; at most `most_rows` rows wait."""
        self._threads = threads
        self._most_rows = most_rows
        self._changed = threading.Condition(threading.Lock())
        self._lines: dict[Kind, _Line] = {}  # in the order of their turns; none is empty
        self._rows = 0  # that wait, of all lines
        self._computing = 0  # threads
        self._computing_small: Counter[Kind] = Counter()  # threads that compute small requests
        self._closed = False

    def __len__(self) -> int:
        """Number of rows that wait."""
        return self._rows

    def waiting(self, engine: Engine) -> int:
        """Number of requests and jobs for a model of which no thread has taken a row."""
        with self._changed:
            lines = [line for kind, line in self._lines.items() if kind[0] is engine]
            return sum(len(line.small) + sum(not job.begun for job in line.jobs) for line in lines)

    def several(self) -> bool:
        """Whether more than one request waits or is computed."""
        with self._changed:
            return self._computing + sum(map(len, self._lines.values())) > 1

    def add(self, job: Job) -> None:
        """Append a job; wakes no thread.

        Raises
        ------
        OverloadedError : more rows would wait than the queue may hold.
        NotReadyError : the queue is closed.
        """
        with self._changed:
            self._check_room(job.rows)
            self._line(job.kind).jobs.append(job)
        # The future keeps its callbacks: one that held the job would make a cycle that holds the results.
        reference = weakref.ref(job)
        job.future.add_done_callback(lambda future: self._cancelled(reference()) if future.cancelled() else None)

    def add_small(self, one: SmallRequest) -> None:
        """Append a small request; wakes no thread; raises what `add` raises."""
        with self._changed:
            self._check_room(one.rows)
            line = self._line(one.kind)
            line.small[one] = None
            line.small_rows += one.rows

    def remove(self, one: Job | SmallRequest) -> None:
        """Drop the rows of a job or a small request that still wait, if there are any."""
        with self._changed:
            line = self._lines.get(one.kind)
            if line is not None and line.drop(one):
                self._rows -= one.rows
                if not line:
                    del self._lines[one.kind]

    def wake(self) -> None:
        """Wake a thread in `wait` if there is a batch for it; it wakes the next one."""
        with self._changed:
            self._wake()

    def wait(self) -> Work | None:
        """Wait for rows and take a batch; None if the queue is closed and nothing is left."""
        with self._changed:
            while True:
                if work := self._take():
                    self._wake()
                    return work
                if self._closed and not self._lines:
                    self._changed.notify_all()
                    return None
                self._changed.wait()

    def take(self, seconds: float) -> Work | None:
        """Take a batch that needs about `seconds` at most, if there is one; wakes a thread for the rest."""
        with self._changed:
            work = self._take(seconds)
            self._wake()
            return work

    def finished(self, work: Work) -> None:
        """Free the thread that took this; it calls `wait` or `wake` next."""
        with self._changed:
            self._computing -= 1
            if work.small:
                self._computing_small -= Counter((work.kind,))  # a kind with none is not kept, nor is its model

    def close(self) -> None:
        """Accept nothing more; threads in `wait` take what is left."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _cancelled(self, job: Job | None) -> None:
        if job is not None:
            job.plan.tally.failed("cancelled")
            self.remove(job)

    def _check_room(self, rows: int) -> None:
        """Count rows that are appended, or raise what `add` raises."""
        if self._closed:
            raise NotReadyError("the server is shutting down; ask another one, or later")
        if self._rows + rows > self._most_rows:
            raise OverloadedError(
                f"{counted_are(self._rows, 'row')} waiting and {rows} more would pass the limit of "
                f"{self._most_rows}; try again later"
            )
        self._rows += rows

    def _line(self, kind: Kind) -> _Line:
        line = self._lines.get(kind)
        if line is None:
            line = self._lines[kind] = _Line()
        return line

    def _wake(self) -> None:
        if self._next_kind() is not None:
            self._changed.notify()

    def _next_kind(self) -> Kind | None:
        """Whose turn it is; None if no thread is free or too few rows wait."""
        if self._computing < self._threads:
            for kind, line in self._lines.items():
                if line.jobs or line.small_rows >= WORTH_SHARING or not self._computing_small[kind]:
                    return kind
        return None

    def _take(self, seconds: float | None = None) -> Work | None:
        """Take a batch for a free thread, of at most so many seconds; None if there is none."""
        while (kind := self._next_kind()) is not None:
            engine = kind[0]
            share = max(WORTH_SHARING, -(-self._rows // (self._threads - self._computing)))
            room = min(share, engine.max_batch_rows)
            if seconds is not None:
                room = min(room, int(seconds / engine.row_seconds))
            work, line = Work(kind), self._lines[kind]
            gone = line.take(work, room)
            if not gone:
                break
            self._rows -= gone
            del self._lines[kind]
            if line:
                self._lines[kind] = line  # behind the others
            if work.job_rows or work.small or work.late:
                self._computing += 1
                if work.small:
                    self._computing_small[kind] += 1
                return work
        return None
