"""Statistics of one loaded model, as Triton defines them: requests, executions and times."""

import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import NamedTuple


class Timing(NamedTuple):
    """Time of a request in each stage, in seconds. The time of a batch counts in full for each of its requests.

    Attributes
    ----------
    queue : Waiting: from the request's arrival to its first batch.
    prepare : Drawing random numbers and collecting the columns of its batches.
    model : Running the graph.
    finish : Drawing photon counts, and computing channel sums and hits.
    """

    queue: float = 0.0
    prepare: float = 0.0
    model: float = 0.0
    finish: float = 0.0

    def plus(self, other: "Timing") -> "Timing":
        """The sum of both."""
        return Timing(
            self.queue + other.queue,
            self.prepare + other.prepare,
            self.model + other.model,
            self.finish + other.finish,
        )

    def times(self, number: int) -> "Timing":
        """The sum for `number` requests with this timing."""
        return Timing(self.queue * number, self.prepare * number, self.model * number, self.finish * number)


NO_TIMING = Timing()


@dataclass
class Totals:
    """Sums since the model was loaded.

    Attributes
    ----------
    succeeded, failed : Number of requests; failed requests by `ZdcError.kind`, or ``cancelled``.
    seconds, failed_seconds : Sum of their times from arrival to end [s].
    timing : Sum of the timings of succeeded requests.
    rows : Number of rows of succeeded requests.
    executions : Number of batches, by their number of rows.
    execution_timing : Sum of the timings of these batches, by their number of rows; its queue is 0.
    pending : Number of requests that are in no batch yet.
    last : `time.time` of the last batch; 0 before the first.
    """

    succeeded: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    failed_seconds: float = 0.0
    timing: Timing = NO_TIMING
    rows: int = 0
    executions: Counter[int] = field(default_factory=Counter)
    execution_timing: defaultdict[int, Timing] = field(default_factory=lambda: defaultdict(Timing))
    pending: int = 0
    last: float = 0.0


class Statistics:
    """Collects the statistics of one engine; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals = Totals()

    def totals(self, pending: int = 0) -> Totals:
        """A copy of the current sums, with the requests that wait, which the queue counts."""
        with self._lock:
            now = self._totals
            return replace(
                now,
                pending=pending,
                failed=now.failed.copy(),
                executions=now.executions.copy(),
                execution_timing=now.execution_timing.copy(),
            )

    def executed(self, rows: int, timing: Timing) -> None:
        """Count a computed batch."""
        with self._lock:
            totals = self._totals
            totals.executions[rows] += 1
            totals.execution_timing[rows] = totals.execution_timing[rows].plus(timing)
            totals.last = time.time()

    def succeeded(self, rows: int, seconds: float, timing: Timing, requests: int = 1) -> None:
        """Count completed requests; several if they were computed together."""
        with self._lock:
            totals = self._totals
            totals.succeeded += requests
            totals.rows += rows
            totals.seconds += seconds * requests
            totals.timing = totals.timing.plus(timing if requests == 1 else timing.times(requests))

    def failed(self, kind: str, seconds: float, requests: int = 1) -> None:
        """Count failed requests."""
        with self._lock:
            self._totals.failed[kind] += requests
            self._totals.failed_seconds += seconds * requests
