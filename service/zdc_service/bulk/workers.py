"""Who computes parts: threads of this process here, `dask_workers` on many machines."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self

from zdc_service.bulk.engines import Answerer, Source, Wanted
from zdc_service.bulk.job import BulkJob
from zdc_service.bulk.part import Part, simulate_part

#: How often those who wait look whether they should still [s].
POLL_SECONDS = 0.2


class Workers(ABC):
    """Takes parts and gives back their bytes in the order in which they are done; use it in a ``with`` block.

    Parameters
    ----------
    source : Who answers the requests.
    check : Called while waiting; what it raises ends the wait.
    """

    def __init__(self, source: Source, check: Callable[[], None]):
        self._source = source
        self._check = check

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End; parts under way are given up."""

    @property
    @abstractmethod
    def capacity(self) -> int:
        """How many parts should be under way, so that nobody waits and memory stays bounded."""

    @abstractmethod
    def identify(self, wanted: Wanted) -> Answerer:
        """What answers; raises ZdcError where nothing does."""

    @abstractmethod
    def knows(self, wanted: Wanted, pdg: int) -> bool:
        """Whether the model was trained on a species; raises as `identify`."""

    @abstractmethod
    def submit(self, job: BulkJob, part: Part) -> None:
        """Begin a part."""

    @abstractmethod
    def finished(self) -> tuple[int, bytes]:
        """Wait for any of the parts under way: its number and its bytes.

        Raises
        ------
        PartError : it cannot be had.
        """


class PartError(Exception):
    """What went wrong with a part, as the ``cause``, which numbers particles within the part.

    Attributes
    ----------
    number : Of the part.
    """

    def __init__(self, number: int, cause: Exception):
        super().__init__(str(cause))
        self.number = number
        self.cause = cause


class LocalWorkers(Workers):
    """Two parts at a time in this process, so that the engine, or the server, has work while one ends."""

    _PARTS = 2

    def __enter__(self) -> Self:
        """Connect or load; raises as `Source.open`."""
        self._client = self._source.open()
        self._pool = ThreadPoolExecutor(self._PARTS, thread_name_prefix="zdc-part")
        self._futures: dict[Future[bytes], int] = {}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for future in self._futures:
            future.cancel()
        self._client.close()
        self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def capacity(self) -> int:
        """One part more than are computed."""
        return self._PARTS + 1

    def identify(self, wanted: Wanted) -> Answerer:
        """By asking; raises as `Source.identify`."""
        return self._source.identify(self._client, wanted)

    def knows(self, wanted: Wanted, pdg: int) -> bool:
        """By asking; raises as `Source.identify`."""
        return self._source.knows(self._client, wanted, pdg)

    def submit(self, job: BulkJob, part: Part) -> None:
        """Queue it for a thread."""
        self._futures[self._pool.submit(simulate_part, self._client, job, part)] = part.number

    def finished(self) -> tuple[int, bytes]:
        """As `Workers.finished`."""
        done: set[Future[bytes]] = set()
        while not done:
            self._check()
            done, _ = wait(self._futures, POLL_SECONDS, FIRST_COMPLETED)
        future = min(done, key=self._futures.__getitem__)
        number = self._futures.pop(future)
        try:
            return number, future.result()
        except Exception as error:
            raise PartError(number, error) from error
