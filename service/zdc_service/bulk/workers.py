"""Workers that simulate parts: threads of this process; those on many machines are in `dask_workers`."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self

from zdc_service.bulk.backend import Backend, ModelChoice, ModelIdentity
from zdc_service.bulk.job import BulkJob
from zdc_service.bulk.part import Part, simulate_part

#: Time between two calls of `check` while waiting [s].
POLL_SECONDS = 0.2


class Workers(ABC):
    """Simulates parts, and returns their bytes in order of completion; use it in a ``with`` block.

    Parameters
    ----------
    backend : Simulates the rows.
    check : Called while waiting; an exception that it raises ends the wait.
    """

    def __init__(self, backend: Backend, check: Callable[[], None]):
        self._backend = backend
        self._check = check

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the workers; parts in progress are abandoned."""

    @property
    @abstractmethod
    def capacity(self) -> int:
        """Number of parts in progress that keeps all workers busy with bounded memory."""

    @abstractmethod
    def identify(self, choice: ModelChoice) -> ModelIdentity:
        """The identity of the chosen model; raises ZdcError if it is unavailable."""

    @abstractmethod
    def knows(self, choice: ModelChoice, pdg: int) -> bool:
        """Whether the model was trained on a species; raises as `identify`."""

    @abstractmethod
    def submit(self, job: BulkJob, part: Part) -> None:
        """Start a part."""

    @abstractmethod
    def finished(self) -> tuple[int, bytes]:
        """Wait for any part in progress; returns its number and its bytes.

        Raises
        ------
        PartError : the part has failed.
        """


class PartError(Exception):
    """A part has failed.

    Attributes
    ----------
    number : Number of the part.
    cause : The error; its message numbers particles within the part.
    """

    def __init__(self, number: int, cause: Exception):
        super().__init__(str(cause))
        self.number = number
        self.cause = cause


class LocalWorkers(Workers):
    """Simulates two parts at a time in this process, so that the engine or server is busy while one part ends."""

    _PARTS = 2

    def __enter__(self) -> Self:
        """Open the backend; raises as `Backend.open`."""
        self._client = self._backend.open()
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
        """One part more than the threads compute, so that one waits."""
        return self._PARTS + 1

    def identify(self, choice: ModelChoice) -> ModelIdentity:
        """As `Workers.identify`; raises as `Backend.identify`."""
        return self._backend.identify(self._client, choice)

    def knows(self, choice: ModelChoice, pdg: int) -> bool:
        """As `Workers.knows`; raises as `Backend.identify`."""
        return self._backend.knows(self._client, choice, pdg)

    def submit(self, job: BulkJob, part: Part) -> None:
        """Queue a part for a thread."""
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
