"""What one loaded model has done, in the terms of Triton's statistics: requests, executions and where time went."""

import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import NamedTuple


class Timing(NamedTuple):
    """Seconds that a request spent waiting and being computed; a batch counts in full for each of its requests.

    Attributes
    ----------
    queue : From its arrival to its first batch.
    prepare : Random numbers and the columns of its batches.
    model : The graph.
    finish : Photon counts, channel sums and hits.
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
        """As much for each of several."""
        return Timing(self.queue * number, self.prepare * number, self.model * number, self.finish * number)


NO_TIMING = Timing()


@dataclass
class Totals:
    """Sums since the model was loaded.

    Attributes
    ----------
    succeeded, failed : Requests; the failed ones by `ZdcError.kind`, or ``cancelled``.
    seconds, failed_seconds : From their arrivals to their ends.
    timing : Of the succeeded ones.
    rows : Rows of succeeded requests.
    executions : Batches, by their number of rows.
    execution_timing : Of these batches, by their number of rows; its queue is 0.
    pending : Requests that no batch has taken yet.
    last : `time.time` of the last batch, 0 before the first.
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
    """Counts for one engine; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals = Totals()

    def totals(self) -> Totals:
        """A copy of the sums as they stand."""
        with self._lock:
            now = self._totals
            return replace(
                now,
                failed=now.failed.copy(),
                executions=now.executions.copy(),
                execution_timing=now.execution_timing.copy(),
            )

    def queued(self, requests: int = 1) -> None:
        """Requests began to wait; negative where they no longer do."""
        with self._lock:
            self._totals.pending += requests

    def executed(self, rows: int, timing: Timing) -> None:
        """A batch was computed."""
        with self._lock:
            totals = self._totals
            totals.executions[rows] += 1
            totals.execution_timing[rows] = totals.execution_timing[rows].plus(timing)
            totals.last = time.time()

    def succeeded(self, rows: int, seconds: float, timing: Timing, requests: int = 1) -> None:
        """A request got its last row, or several that were computed together did."""
        with self._lock:
            totals = self._totals
            totals.succeeded += requests
            totals.rows += rows
            totals.seconds += seconds * requests
            totals.timing = totals.timing.plus(timing if requests == 1 else timing.times(requests))

    def failed(self, kind: str, seconds: float, requests: int = 1) -> None:
        """A request ended without its rows, or several did."""
        with self._lock:
            self._totals.failed[kind] += requests
            self._totals.failed_seconds += seconds * requests
