"""From a request to a result: what HTTP, gRPC and in-process callers have in common."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Self

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import InvalidInputError, OutOfRangeError, ZdcError
from zdc_detector.card import RANGES, SPECIES, ModelCard
from zdc_detector.finish import Finish
from zdc_detector.particles import LARGEST, PX, VX, Particles
from zdc_detector.random import LARGEST_NORMAL, MAX_ROW, check_seed, fresh_seed

from zdc_service.engine.engine import Engine
from zdc_service.engine.repository import Repository, open_repository
from zdc_service.settings import EngineSettings
from zdc_service.simulating.batcher import Batcher
from zdc_service.simulating.dispatcher import Dispatcher
from zdc_service.simulating.job import Job, Plan, Tally
from zdc_service.simulation import OutOfRange, SimulationRequest, SimulationResult, check_rows
from zdc_service.status import kind_of
from zdc_service.telemetry.metrics import Metrics
from zdc_service.telemetry.model_metrics import ModelMetrics
from zdc_service.telemetry.statistics import Totals
from zdc_service.telemetry.triton_metrics import TritonMetrics

_NAMED_PARTICLES = 3  # an error message names this many and counts the rest


class Simulator:
    """Loaded models behind one batcher. Thread-safe; close it when done, or use it as a context manager.

    Attributes
    ----------
    repository : The models.
    metrics : What was counted.
    max_request_rows : Most rows of one request.
    """

    def __init__(self, settings: EngineSettings):
        """Load and check all models of the settings' folder.

        Raises
        ------
        ConfigError : no model, no such default model, or a device that cannot be had.
        ModelError : a model is not what its card says.
        """
        self.metrics = Metrics()
        self.repository: Repository = open_repository(settings, self.metrics)
        for collector in (ModelMetrics(self._sums), TritonMetrics(self._sums)):
            self.metrics.registry.register(collector)
        self.max_request_rows = settings.max_request_rows
        self._batcher = Batcher(settings.threads, settings.max_queue_rows, self.metrics)
        self._dispatcher = Dispatcher(self._batcher, self.plan, self._engine_of, self.max_request_rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish what is queued and stop."""
        self._batcher.close()

    def simulate(self, request: SimulationRequest) -> SimulationResult:
        """Simulate and wait for the result; raises what `plan` and `submit` raise."""
        return self.submit(self.plan(request)).result()

    def plan(self, request: SimulationRequest) -> Plan:
        """Check a request and settle everything that its rows depend on.

        Raises
        ------
        InvalidInputError : seed, first row or repeats outside their bounds.
        TooLargeError : more rows than one request may have.
        OutOfRangeError : a particle outside the trained range, where the request says ``error``.
        ModelNotFoundError : no such model or version.
        """
        engine = self._engine_of(request)
        began = time.monotonic()
        try:
            return self._plan(engine, request)
        except Exception as error:
            engine.statistics.failed(kind_of(error), time.monotonic() - began)
            raise

    def _plan(self, engine: Engine, request: SimulationRequest) -> Plan:
        seed = fresh_seed() if request.seed is None else request.seed
        check_seed(seed, request.first_row)
        if request.repeats < 1:
            raise InvalidInputError(f"repeats = {request.repeats} must be at least 1")
        rows = len(request.particles) * request.repeats
        check_rows(len(request.particles), request.repeats, self.max_request_rows)
        if request.first_row + rows > MAX_ROW:
            raise InvalidInputError(f"first_row = {request.first_row} leaves no room for {rows} rows below 2^63")
        noise = _check_noise(engine.card, request)
        kept, skipped, extrapolated = self._in_range(engine.card, request)
        everything = len(kept) == len(request.particles)
        particles = request.particles if everything else request.particles[kept]
        aimed = particles.toward_a()
        if extrapolated:
            aimed = _missing(aimed, engine.card.calorimeter.behind_face(aimed.conditions))
        return Plan(
            engine=engine,
            particles=aimed,
            index=kept,
            side=particles.side,
            seed=seed,
            first_row=request.first_row,
            repeats=request.repeats,
            output=request.output,
            finish=Finish.NONE if request.rates else engine.card.finish,
            skipped=skipped,
            extrapolated=extrapolated,
            tally=Tally(len(kept) * request.repeats, engine.statistics),
            noise=noise if noise is None or everything else noise[kept],
        )

    def submit(
        self, plan: Plan, start: int = 0, stop: int | None = None, deadline: float | None = None
    ) -> Future[SimulationResult]:
        """Queue rows ``start:stop`` of a plan; cancel the future to drop what has not been computed.

        Parameters
        ----------
        plan : From `plan`.
        start, stop : Rows of the plan; all when absent.
        deadline : `time.monotonic` after which the result is not wanted.

        Raises
        ------
        OverloadedError : the queue is full.
        NotReadyError : the simulator is closed.
        """
        job = Job(plan, start, plan.rows if stop is None else stop, deadline)
        if not job.future.done():
            try:
                self._batcher.submit(job)
            except ZdcError as error:
                plan.tally.failed(error.kind)
                raise
        return job.future

    def dispatch(
        self, plan: Plan, start: int = 0, stop: int | None = None, deadline: float | None = None
    ) -> "asyncio.Future[SimulationResult]":
        """`submit` for the one event loop that serves from this simulator; refusals come with the future."""
        return self._dispatcher.submit(Job(plan, start, plan.rows if stop is None else stop, deadline))

    def ask(self, request: SimulationRequest, deadline: float | None = None) -> "asyncio.Future[SimulationResult]":
        """`plan` and `dispatch`, and for small requests that arrive together both at once.

        Raises
        ------
        ZdcError : what `plan` raises; for small requests the future does, unless there is no such model.
        """
        return self._dispatcher.ask(request, deadline)

    def _engine_of(self, request: SimulationRequest) -> Engine:
        return self.repository.get(request.model, request.version)

    def _sums(self) -> Iterator[tuple[str, int, Totals]]:
        for engine in self.repository:
            yield engine.card.name, engine.card.version, engine.statistics.totals()

    def _in_range(
        self, card: ModelCard, request: SimulationRequest
    ) -> tuple[NDArray[np.uint32], Mapping[str, int], Mapping[str, int]]:
        """Indices of the particles to simulate, and the others counted by reason."""
        everything = np.arange(len(request.particles), dtype=np.uint32)
        reasons = card.ranges.outside(request.particles)
        outside = np.flatnonzero(reasons)
        if not outside.size:
            return everything, {}, {}
        counts = {RANGES[i]: int(n) for i, n in enumerate(np.bincount(reasons)) if i and n}
        for reason, count in counts.items():
            self.metrics.out_of_range.labels(reason, request.out_of_range.value).inc(count)
        refused = {
            OutOfRange.ERROR: outside,
            OutOfRange.EXTRAPOLATE: np.flatnonzero(reasons == SPECIES),  # of which the model knows nothing
            OutOfRange.SKIP: outside[:0],
        }[request.out_of_range]
        if refused.size:
            raise _out_of_range(card, request, refused, remedy=SPECIES not in reasons[refused])
        if request.out_of_range is OutOfRange.EXTRAPOLATE:
            return everything, {}, counts
        return np.delete(everything, outside), counts, {}


def _missing(particles: Particles, rows: NDArray[np.bool_]) -> Particles:
    """Particles of which some fly past every face; a graph prolongs their lines backwards, to a face behind them."""
    if not rows.any():
        return particles
    conditions = particles.conditions.copy()
    conditions[rows, VX] = LARGEST
    conditions[rows, PX] = 0
    return Particles(particles.pdg, conditions)


def _out_of_range(
    card: ModelCard, request: SimulationRequest, refused: NDArray[np.intp], remedy: bool
) -> OutOfRangeError:
    """Of particles that are refused; `remedy` says whether extrapolating would simulate them all."""
    messages = [
        f"particle[{row}]: {card.ranges.message(request.particles, row)}" for row in refused[:_NAMED_PARTICLES].tolist()
    ]
    more = f"; and {refused.size - _NAMED_PARTICLES} more" if refused.size > _NAMED_PARTICLES else ""
    accepted = (
        "out_of_range = skip or extrapolate accepts such particles"
        if remedy
        else "out_of_range = skip leaves such particles out, and no setting simulates another species"
    )
    return OutOfRangeError(f"{'; '.join(messages)}{more}; {accepted}")


def _check_noise(card: ModelCard, request: SimulationRequest) -> NDArray[np.float32] | None:
    if request.noise is None:
        return None
    wanted = (len(request.particles), card.noise.dimension)
    if request.noise.shape != wanted:
        raise InvalidInputError(
            f"noise has shape {request.noise.shape}; {card.name} takes {wanted}: one row for each particle"
        )
    if request.repeats != 1:
        raise InvalidInputError(f"repeats = {request.repeats} with noise given; repeat particles and noise instead")
    possible = np.abs(request.noise) <= LARGEST_NORMAL  # nan is not
    if not possible.all():
        row, column = np.unravel_index(np.argmin(possible), possible.shape)
        raise InvalidInputError(
            f"particle[{row}]: noise[{column}] = {request.noise[row, column]:g} must be within +-{LARGEST_NORMAL:g}; "
            "noise is standard normal numbers"
        )
    return request.noise
