"""From a request to a result: what HTTP, gRPC and in-process callers have in common."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Self

from zdc_common.errors import ZdcError

from zdc_service.engine.engine import Engine
from zdc_service.engine.repository import Repository, open_repository
from zdc_service.settings import EngineSettings
from zdc_service.simulating.compute_threads import ComputeThreads
from zdc_service.simulating.dispatcher import Dispatcher
from zdc_service.simulating.job import Job
from zdc_service.simulating.plan import Plan
from zdc_service.simulating.planner import Planner
from zdc_service.simulating.work_queue import WorkQueue
from zdc_service.simulation import SimulationRequest, SimulationResult
from zdc_service.telemetry.instruments import Instruments
from zdc_service.telemetry.model_collector import ModelCollector
from zdc_service.telemetry.statistics import Totals
from zdc_service.telemetry.triton_collector import TritonCollector


class Simulator:
    """Loaded models, and threads that compute with them. Thread-safe; close it, or use it as a context manager.

    Attributes
    ----------
    repository : The models.
    instruments : Counters and times of the server.
    max_request_rows : Maximum number of rows of one request.
    """

    def __init__(self, settings: EngineSettings):
        """Load and check all models of the settings' folder.

        Raises
        ------
        ConfigError : no model, no such default model, or a device that is not available.
        ModelError : a model is not what its card says.
        """
        self.instruments = Instruments()
        self.repository: Repository = open_repository(settings, self.instruments)
        for collector in (ModelCollector(self._sums), TritonCollector(self._sums)):
            self.instruments.registry.register(collector)
        self.max_request_rows = settings.max_request_rows
        self._planner = Planner(self.repository, self.max_request_rows, self.instruments)
        self._queue = WorkQueue(settings.threads, settings.max_queue_rows)
        self.instruments.queue_rows.set_function(self._queue.__len__)
        self._threads = ComputeThreads(self._queue, self._planner, settings.threads, self.instruments)
        self._dispatcher = Dispatcher(self._planner, self._queue, self._threads)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish what is queued and stop."""
        self._threads.close()

    def simulate(self, request: SimulationRequest) -> SimulationResult:
        """Simulate and wait for the result; raises what `plan` and `submit` raise."""
        return self.submit(self.plan(request)).result()

    def plan(self, request: SimulationRequest, engine: Engine | None = None) -> Plan:
        """Check a request and compute everything that its rows depend on.

        Parameters
        ----------
        request : To be checked.
        engine : Its model, if the caller has looked it up already.

        Raises
        ------
        ModelNotFoundError : no such model or version.
        InvalidInputError : seed, first row, repeats or noise outside their bounds.
        TooLargeError : more rows than `max_request_rows`.
        OutOfRangeError : a particle outside the trained range, if the request says ``error``.
        """
        return self._planner.plan(request, engine or self._planner.engine_of(request))

    def submit(
        self, plan: Plan, start: int = 0, stop: int | None = None, deadline: float | None = None
    ) -> Future[SimulationResult]:
        """Queue rows ``start:stop`` of a plan; cancel the future to drop the rows that have not been computed.

        Parameters
        ----------
        plan : From `plan`.
        start, stop : Rows of the plan; all by default.
        deadline : `time.monotonic` after which the result is not needed.

        Raises
        ------
        OverloadedError : the queue is full.
        NotReadyError : the simulator is closed.
        """
        job = Job(plan, start, plan.rows if stop is None else stop, deadline)
        if not job.future.done():
            try:
                self._queue.add(job)
            except ZdcError as error:
                plan.tally.failed(error.kind)
                raise
            self._queue.wake()
        return job.future

    def dispatch(
        self, plan: Plan, start: int = 0, stop: int | None = None, deadline: float | None = None
    ) -> "asyncio.Future[SimulationResult]":
        """`submit` for the event loop that serves from this simulator; the future raises what `submit` raises."""
        return self._dispatcher.submit(Job(plan, start, plan.rows if stop is None else stop, deadline))

    def ask(
        self, request: SimulationRequest, deadline: float | None = None, engine: Engine | None = None
    ) -> "asyncio.Future[SimulationResult]":
        """`plan` and `dispatch` in one; small requests that arrive together are planned and computed together.

        Parameters
        ----------
        request : To be checked and simulated.
        deadline : `time.monotonic` after which the result is not needed.
        engine : Its model, if the caller has looked it up already.

        Raises
        ------
        ModelNotFoundError : no such model or version.
        ZdcError : as `plan` and `submit`. The future raises what is found later: of a small request, that a particle
            is outside the trained range; of a large one, that the queue is full or the simulator closed.
        """
        return self._dispatcher.ask(request, engine or self._planner.engine_of(request), deadline)

    def _sums(self) -> Iterator[tuple[str, int, Totals]]:
        for engine in self.repository:
            totals = engine.statistics.totals(self._queue.waiting(engine))
            yield engine.card.name, engine.card.version, totals
