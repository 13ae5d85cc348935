"""Simulate parts as tasks of Dask, on many machines or in several processes of this machine."""

import logging
import math
import signal
import time
from asyncio import CancelledError
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from zdc_common.errors import ConfigError, NotReadyError, ZdcError
from zdc_common.versions import installed_version
from zdc_common.words import install_advice

from zdc_service.bulk.backend import Backend, ModelChoice, ModelIdentity, SharedClient
from zdc_service.bulk.job import BulkJob
from zdc_service.bulk.part import Part, simulate_part
from zdc_service.bulk.workers import POLL_SECONDS, PartError, Workers

log = logging.getLogger(__name__)

#: Retries of a task that fails for a reason outside the job, e.g. a full disk or no memory.
_RETRIES = 3
_COUNT_SECONDS = 2.0  # the number of workers may change
_CONNECT_SECONDS = 10.0

_SHARED = SharedClient()  # one client per worker process


def _software() -> Callable[[], str | None]:
    """A function that returns the version of this package; self-contained, so that it runs without the package too."""

    def version() -> str | None:
        try:
            from zdc_common.versions import installed_version
        except ImportError:
            return None
        return installed_version()

    return version


def _identify(backend: Backend, choice: ModelChoice) -> ModelIdentity | ZdcError:
    try:
        return _SHARED.identity(backend, choice)
    except ZdcError as error:
        return error


def _knows(backend: Backend, choice: ModelChoice, pdg: int) -> bool | ZdcError:
    try:
        return backend.knows(_SHARED.client(backend), choice, pdg)
    except ZdcError as error:
        return error


def _make(backend: Backend, job: BulkJob, part: Part) -> bytes | ZdcError:
    """A part's bytes. Errors of the job are returned, not raised, so that Dask does not retry them."""
    here = installed_version()
    if here != job.software:  # a worker that joined after `_check_software`
        return ConfigError(f"a Dask worker has zdc-fastsim {here}; install version {job.software} there")
    try:
        expected = ModelIdentity.model_validate({name: getattr(job, name) for name in ModelIdentity.model_fields})
        _SHARED.check(backend, expected, job.rates)
        return simulate_part(_SHARED.client(backend), job, part)
    except ZdcError as error:
        return error


class DaskWorkers(Workers):
    """Simulates on a Dask cluster, with two parts in progress for each of its threads.

    If a worker dies, the scheduler gives its parts to other workers. After a number of such deaths
    (`distributed.scheduler.allowed-failures`) the part fails.

    Parameters
    ----------
    scheduler : Address of a scheduler; None starts processes on this machine.
    processes : Number of these processes.
    """

    def __init__(self, backend: Backend, check: Callable[[], None], scheduler: str | None, processes: int):
        super().__init__(backend, check)
        self._scheduler = scheduler
        self._processes = processes
        self._futures: dict[Any, int] = {}
        self._counted = 0.0
        self._threads = 0
        self._name = uuid4().hex[:8]  # part of the names of this run's tasks

    def __enter__(self) -> Self:
        """Connect to the scheduler, or start the processes.

        Raises
        ------
        ConfigError : the package is not installed, or the address is invalid.
        NotReadyError : no scheduler answers.
        """
        try:
            self._dask = import_module("distributed")
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"--scheduler and --workers need the package distributed; {install_advice('dask')}"
            ) from error
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # our errors report the same
        with ExitStack() as opening:
            address: Any = self._scheduler
            if address is None:
                address = opening.enter_context(self._local_cluster())
            try:
                self._client = opening.enter_context(self._dask.Client(address, timeout=_CONNECT_SECONDS))
            except ValueError as error:
                raise ConfigError(f"--scheduler {address}: {error}; use e.g. tcp://host:8786") from error
            except OSError as error:
                raise NotReadyError(f"--scheduler {address}: no scheduler answers there: {error}") from error
            self._opened = opening.pop_all()
        return self

    def _local_cluster(self) -> Any:
        # Ctrl-C in a terminal would reach the processes too; only this process may end them.
        usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return self._dask.LocalCluster(
                n_workers=self._processes,
                threads_per_worker=1,
                dashboard_address="127.0.0.1:0",  # with None, Dask would take port 8787, which another job may use
                silence_logs=logging.CRITICAL,
            )
        finally:
            signal.signal(signal.SIGINT, usual)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for future in self._futures:
            future.cancel()
        self._futures.clear()
        self._opened.close()

    @property
    def capacity(self) -> int:
        """Two parts for each thread that the cluster has now."""
        if time.monotonic() - self._counted > _COUNT_SECONDS:
            self._threads, self._counted = sum(self._client.nthreads().values()), time.monotonic()
        return 2 * max(1, self._threads)

    def identify(self, choice: ModelChoice) -> ModelIdentity:
        """Identify the model on a worker; waits until there is a worker.

        Raises
        ------
        ConfigError : the scheduler or a worker has another version of this package, or does not have it.
        ZdcError : an error of `Backend.identify` on the worker.
        """
        self._wait(lambda: bool(self._client.nthreads()))
        if self._scheduler is not None:
            self._check_software()
        found = self._ask(_identify, choice, key=f"zdc-model-{self._name}")
        assert isinstance(found, ModelIdentity)
        return found

    def knows(self, choice: ModelChoice, pdg: int) -> bool:
        """As `Workers.knows`, on a worker; raises as `identify`."""
        return bool(self._ask(_knows, choice, pdg, key=f"zdc-species-{self._name}-{pdg}"))

    def _ask(self, task: Callable[..., Any], *arguments: Any, key: str) -> Any:
        """The result of a task; raises the ZdcError that it returns."""
        future = self._client.submit(task, self._backend, *arguments, key=key)
        self._wait(future.done)
        found = self._result(future)
        if isinstance(found, ZdcError):
            raise type(found)(f"on a Dask worker: {found}")
        return found

    def _wait(self, done: Callable[[], bool]) -> None:
        warn_at = time.monotonic() + _CONNECT_SECONDS
        while not done():
            self._check()
            if time.monotonic() > warn_at and not self._client.nthreads():
                log.warning("%s: no worker yet; waiting for one", self._scheduler)
                warn_at = math.inf
            time.sleep(POLL_SECONDS / 10)

    def _check_software(self) -> None:
        # A worker without the package would fail at each task.
        with self._failures():
            found = {"the scheduler": self._client.run_on_scheduler(_software())} | self._client.run(_software())
        here = installed_version()
        for who, version in found.items():
            if version != here:
                has = "has no zdc-fastsim" if version is None else f"has zdc-fastsim {version}"
                raise ConfigError(
                    f"{self._scheduler}: {who} {has}; install version {here} for the scheduler and all workers, as on "
                    "this machine"
                )

    def submit(self, job: BulkJob, part: Part) -> None:
        """Send a part to the scheduler."""
        key = f"zdc-part-{self._name}-{part.number}"
        future = self._client.submit(_make, self._backend, job, part, key=key, retries=_RETRIES, pure=False)
        self._futures[future] = part.number

    def finished(self) -> tuple[int, bytes]:
        """As `Workers.finished`."""
        done: set[Any] = set()
        while not done:
            self._check()
            with suppress(TimeoutError), self._failures():
                done = set(self._dask.wait(list(self._futures), POLL_SECONDS, "FIRST_COMPLETED").done)
        future = min(done, key=self._futures.__getitem__)
        number = self._futures.pop(future)
        found = self._result(future)
        if isinstance(found, ZdcError):
            raise PartError(number, found)
        assert isinstance(found, bytes)
        return number, found

    def _result(self, future: Any) -> Any:
        with self._failures():
            return future.result()

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Raise errors of Dask and of workers as NotReadyError."""
        try:
            yield
        except (ZdcError, TimeoutError):
            raise
        except (Exception, CancelledError) as error:
            if isinstance(error, CancelledError) or self._client.status != "running":
                where = self._scheduler or "the Dask processes"
                raise NotReadyError(f"{where}: the connection to the scheduler is lost") from error
            # Workers that died too often arrive here too.
            text = " ".join(str(error).split())
            raise NotReadyError(f"a Dask worker failed: {type(error).__name__}: {text}") from error
