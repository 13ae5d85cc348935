"""Threads that compute what waits in the queue, batch by batch."""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Self

from zdc_common.errors import DeadlineError, ModelError
from zdc_common.words import counted
from zdc_detector.finish import finish_and_sum

from zdc_service.simulating.answers import LATE
from zdc_service.simulating.batch import Batch
from zdc_service.simulating.bundling import RequestBundle, SmallRequest, bundle
from zdc_service.simulating.job import JobRows
from zdc_service.simulating.plan import Kind
from zdc_service.simulating.planner import Planner
from zdc_service.simulating.work_queue import Work, WorkQueue
from zdc_service.telemetry.instruments import Instruments
from zdc_service.telemetry.statistics import Timing

log = logging.getLogger(__name__)

#: Member of a batch: rows of one job, or a bundle of small requests.
_Member = JobRows | RequestBundle


class ComputeThreads:
    """Threads that take batches from a queue, compute them and deliver the results.

    An error in a batch fails only the request that caused it.
    """

    def __init__(self, queue: WorkQueue, planner: Planner, threads: int, instruments: Instruments):
        """Start so many threads.

        Parameters
        ----------
        queue : What waits.
        planner : Explains why small requests are refused.
        threads : Number of threads.
        instruments : Get the times that requests wait.
        """
        self._queue = queue
        self._planner = planner
        self._instruments = instruments
        self._threads = [threading.Thread(target=self._work, name=f"compute-{i}", daemon=True) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def help(self, seconds: float) -> None:
        """Compute one batch on the calling thread, if there is one that needs about `seconds` at most.

        For a thread that has just filled the queue: to hand a short batch to another thread takes longer than to
        compute it.
        """
        work = self._queue.take(seconds)
        if work is not None:
            self._run(work)
            self._queue.wake()

    def close(self) -> None:
        """Accept nothing more, compute what waits, and stop the threads."""
        self._queue.close()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while self._work_once():
            pass

    def _work_once(self) -> bool:
        """Compute a batch; False at the end. Nothing of a batch is kept while the thread waits for the next one."""
        work = self._queue.wait()
        if work is not None:
            self._run(work)
        return work is not None

    def _run(self, work: Work) -> None:
        try:
            for late in work.late:
                late.fail(DeadlineError(LATE))
            members: list[_Member] = [*self._bundles(work.small), *work.job_rows]
            for member in members:
                if member.waited is not None:
                    self._instruments.queue_seconds.observe(member.waited)
            if members:
                self._compute_all(work.kind, members)
        finally:
            self._queue.finished(work)

    def _bundles(self, small: Sequence[SmallRequest]) -> list[RequestBundle]:
        """Bundles of small requests; those that are out of range get their errors."""
        try:
            bundles, refused = bundle(small)
            refusals = [self._planner.out_of_range(one.request, one.engine.card, reasons) for one, reasons in refused]
        except Exception as error:  # that no check foresees: it must fail only the request that caused it
            if len(small) == 1:
                small[0].fail(error)
                return []
            return [member for one in small for member in self._bundles([one])]
        for (one, _), refusal in zip(refused, refusals, strict=True):
            one.fail(refusal)
        return bundles

    def _compute_all(self, kind: Kind, members: Sequence[_Member]) -> None:
        """Compute a batch; after an error, compute it caller by caller to find whose error it is."""
        try:
            self._compute(kind, members)
        except Exception as error:
            alone = [one for member in members for one in member.alone()]
            if len(alone) == 1:
                alone[0].fail(error)
                return
            log.warning("a batch of %d requests failed and is computed request by request: %s", len(alone), error)
            for one in alone:
                if not one.ended:
                    self._compute_all(kind, [one])

    def _compute(self, kind: Kind, members: Sequence[_Member]) -> None:
        """Compute and deliver; raises before anything is delivered, so that no member is delivered twice."""
        engine, finish = kind
        card = engine.card
        began = time.monotonic()
        try:
            batch = Batch([member.inputs() for member in members], card.noise.dimension)
            prepared = time.monotonic()
            rates = engine.run(batch.conditions, batch.noise, batch.pdg)
        except Exception as error:  # of onnxruntime, or a lack of memory: the message does not name the model
            rows = counted(sum(member.rows for member in members), "row")
            raise ModelError(f"{card.name} version {card.version} cannot compute {rows}: {error}") from error
        ran = time.monotonic()
        try:
            images, channels = finish_and_sum(rates, finish, batch.seeds, batch.numbers, card.calorimeter)
        except ModelError as error:
            raise ModelError(f"{card.name} version {card.version} gave {error}") from error
        timing = Timing(0.0, prepared - began, ran - prepared, time.monotonic() - ran)
        engine.statistics.executed(len(images), timing)
        first = 0
        for member in members:
            stop = first + member.rows
            try:
                member.deliver(images[first:stop], channels[first:stop], timing)
            except Exception as error:
                member.fail(error)
            first = stop
