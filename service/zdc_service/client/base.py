"""What all clients with threads share: a window of requests under way, retries, closing."""

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Self, Unpack

from tenacity import RetryCallState, Retrying
from tenacity.nap import sleep_using_event
from zdc_detector.errors import ZdcError

from zdc_service.client.chunks import Chunk, Part, concatenate
from zdc_service.client.errors import client_is_closed
from zdc_service.client.options import ClientOptions
from zdc_service.client.particles import ParticlesLike, blocks_of
from zdc_service.client.patience import Patience
from zdc_service.client.plan import JobOptions, JobPlan, OutOfRangeLike, OutputLike
from zdc_service.simulation import OutOfRange, Output, SimulationRequest, SimulationResult


class Client(ABC):
    """Simulates particles somewhere; use it in a ``with`` block. Thread-safe.

    Implementations send one bounded request and wait for its answer (`_exchange`), from several threads at once.
    """

    def __init__(self, options: ClientOptions):
        self._options = options
        self._closing = threading.Event()
        self._pool = ThreadPoolExecutor(options.in_flight, thread_name_prefix="zdc-client")
        self._patience = Patience(options)
        self._retrying = Retrying(
            retry=self._patience.retry,
            stop=self._gives_up,
            wait=self._patience.wait,
            before_sleep=self._patience.before_sleep,
            sleep=sleep_using_event(self._closing),
            reraise=True,
        )

    def simulate(
        self,
        particles: ParticlesLike | Iterable[ParticlesLike],
        *,
        seed: int | None = None,
        repeats: int = 1,
        output: OutputLike = Output.RESPONSE,
        out_of_range: OutOfRangeLike = OutOfRange.ERROR,
        first_row: int = 0,
        model: str | None = None,
        version: int | None = None,
        rates: bool = False,
    ) -> Iterator[Chunk]:
        """Simulate a job of any size; the rows do not depend on how it is split.

        Parameters
        ----------
        particles : One block, or blocks that follow each other and are fetched as they are needed; a block is
            `Particles`, or columns as `Particles.from_columns` takes them in a mapping, a table or a structured array:
            ``pdg``, ``px``, ``py``, ``pz`` [GeV/c], if wanted ``vx``, ``vy``, ``vz`` [cm], shape (N,) each.
        seed : 0 <= seed < 2**53; where none is given, one is drawn for the job, and every chunk carries it.
        repeats : Responses per particle.
        output : ``response``, ``channels`` or ``hits``: what is answered for each row.
        out_of_range : ``error``, ``skip`` or ``extrapolate``: what happens to a particle outside the species, energies
            or vertices that the model was trained on.
        first_row : Row of the first particle's first repeat, to continue a job.
        model, version : Which model; None is the server's default and its newest version.
        rates : Answer the model's raw rates as float32 instead of photon counts.

        Returns
        -------
        The job's rows in order, one `Chunk` a request, all of one version: ``channels``, shape (M, C), and by `output`
        ``response``, shape (M, rows, columns), or ``hits``. At most `ClientOptions.in_flight` requests are ahead of
        the caller.

        Raises
        ------
        InvalidInputError : an option cannot be; while iterating also a particle, by its number in the job.
        OutOfRangeError : a particle that the model was not trained on, by its number in the job.
        OverloadedError, NotReadyError : the server's queue stayed full, or no server answered, for longer than
            `ClientOptions` allow; what was received before is the caller's to keep.
        DeadlineError : no answer within `ClientOptions.timeout_seconds`.
        ZdcError : of the kind that the server answers, e.g. ModelNotFoundError or UnauthenticatedError.
        """
        plan = JobPlan(
            self._options.rows_per_request, seed, repeats, output, out_of_range, first_row, model, version, rates
        )
        return self._chunks(blocks_of(particles), plan)

    def run(self, particles: ParticlesLike | Iterable[ParticlesLike], **options: Unpack[JobOptions]) -> Chunk:
        """Simulate a job that fits into memory: all rows of `simulate`, which says what the options are, at once.

        Raises
        ------
        InvalidInputError : there is no particle.
        ZdcError : as `simulate`.
        """
        return concatenate(self.simulate(particles, **options))

    def _chunks(self, blocks: Iterable[ParticlesLike], plan: JobPlan) -> Iterator[Chunk]:
        ahead: deque[tuple[Part, Future[SimulationResult]]] = deque()
        try:
            for block in blocks:
                for part in plan.parts(block):
                    ahead.append((part, self._start(plan.request(part))))
                    if len(ahead) >= self._options.in_flight:
                        yield self._finish(plan, *ahead.popleft())
            while ahead:
                yield self._finish(plan, *ahead.popleft())
        finally:
            for _, future in ahead:
                future.cancel()

    def _start(self, request: SimulationRequest) -> Future[SimulationResult]:
        if self._closing.is_set():
            raise client_is_closed()
        return self._pool.submit(self._retrying, self._ask, request)

    def _finish(self, plan: JobPlan, part: Part, future: Future[SimulationResult]) -> Chunk:
        try:
            result = future.result()
            if plan.must_ask_again(result):
                result = self._start(plan.request(part)).result()
        except CancelledError:
            raise client_is_closed() from None
        except ZdcError as error:
            raise plan.explained(part, error) from error
        return plan.chunk(part, result)

    def _ask(self, request: SimulationRequest) -> SimulationResult:
        result = self._exchange(request)
        self._patience.answered()
        return result

    def _gives_up(self, state: RetryCallState) -> bool:
        return self._closing.is_set() or self._patience.stop(state)

    @abstractmethod
    def _exchange(self, request: SimulationRequest) -> SimulationResult:
        """Send one request and wait for its whole answer; raises ZdcError of the server's kind."""

    @abstractmethod
    def _disconnect(self) -> None:
        """End requests under way."""

    def close(self) -> None:
        """End what is under way and disconnect; the client is of no use afterwards."""
        self._closing.set()
        self._disconnect()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
