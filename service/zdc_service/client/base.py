"""What all clients with threads share: a window of requests under way, retries, closing."""

from __future__ import annotations  # signatures name `ParticlesLike` instead of all that it is

import os
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Self

from tenacity import Retrying
from tenacity.nap import sleep_using_event
from zdc_common.errors import NotReadyError, ZdcError

from zdc_service.client.chunks import Chunk, Part, concatenate
from zdc_service.client.errors import client_is_closed, client_is_elsewhere
from zdc_service.client.options import ClientOptions
from zdc_service.client.particles import ParticlesLike, blocks_of
from zdc_service.client.patience import Patience
from zdc_service.client.plan import JobPlan, OutOfRangeLike, OutputLike
from zdc_service.simulation import OutOfRange, Output, SimulationRequest, SimulationResult


def _started_pool(size: int) -> ThreadPoolExecutor:
    """A pool whose threads all run already.

    Where Ctrl-C comes while a pool starts a thread, it loses sight of it, and the program never ends for waiting for
    it. Only the main thread is interrupted: here another one starts them.
    """
    pool = ThreadPoolExecutor(size, thread_name_prefix="zdc-client")
    all_run = threading.Barrier(size)

    def start() -> None:
        try:
            for _ in range(size):
                pool.submit(all_run.wait)
        except RuntimeError:  # the program ends meanwhile: the threads so far must not wait for the missing ones
            all_run.abort()

    starting = threading.Thread(target=start, name="zdc-client-start")
    starting.start()
    starting.join()
    return pool


class Client(ABC):
    """Simulates particles somewhere; made by `connect`, best in a ``with`` block, or else `close` it.

    Any number of threads may share one. Processes may not: connect in each, after it was forked.

    Implementations send one bounded request and wait for its answer (`_exchange`), from several threads at once.
    """

    def __init__(self, options: ClientOptions, place: str):
        self._options = options
        self._place = place
        self._process = os.getpid()
        self._closing = threading.Event()
        self._left: set[threading.Event] = set()  # one for each job, set once nobody waits for it any more
        self._pool = _started_pool(int(options.in_flight))
        self._patience = Patience(options)

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
            ``pdg``, ``px``, ``py``, ``pz`` [GeV/c], if wanted ``vx``, ``vy``, ``vz`` [cm], shape (N,) each. Requests
            do not reach across blocks: a hundred particles in one travel much faster than in a hundred.
        seed : 0 <= seed < 2**53; where none is given, one is drawn for the job, and every chunk carries it.
        repeats : Responses per particle.
        output : ``response``, ``channels`` or ``hits``: what is answered for each row.
        out_of_range : ``error``, ``skip`` or ``extrapolate``: what happens to a particle outside the species, energies
            or vertices that the model was trained on; ``extrapolate`` is for energies and vertices, another species is
            an error all the same.
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

    def run(
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
    ) -> Chunk:
        """Simulate a job that fits into memory: all rows of `simulate` at once.

        Parameters
        ----------
        particles, seed, repeats, output, out_of_range, first_row, model, version, rates : As `simulate` takes them.

        Returns
        -------
        The job's M rows: ``channels``, shape (M, C), and unless `output` is ``channels`` the photons of each fibre,
        ``images``, shape (M, rows, columns).

        Raises
        ------
        InvalidInputError : there is no particle.
        ZdcError : as `simulate`.
        """
        return concatenate(
            self.simulate(
                particles,
                seed=seed,
                repeats=repeats,
                output=output,
                out_of_range=out_of_range,
                first_row=first_row,
                model=model,
                version=version,
                rates=rates,
            )
        )

    def _chunks(self, blocks: Iterable[ParticlesLike], plan: JobPlan) -> Iterator[Chunk]:
        ahead: deque[tuple[Part, Future[SimulationResult]]] = deque()
        left = threading.Event()
        self._left.add(left)
        ask = self._asking(left)
        try:
            for block in blocks:
                for part in plan.parts(block):
                    ahead.append((part, ask(plan.request(part))))
                    if len(ahead) >= self._options.in_flight:
                        yield self._finish(plan, ask, *ahead.popleft())
            while ahead:
                yield self._finish(plan, ask, *ahead.popleft())
        finally:
            left.set()  # whoever waits to try again need not
            self._left.discard(left)
            for _, future in ahead:
                future.cancel()

    def _asking(self, left: threading.Event) -> Callable[[SimulationRequest], Future[SimulationResult]]:
        """Starts requests of a job that is waited for until `left` is set."""
        retrying = Retrying(
            retry=self._patience.retry,
            stop=lambda state: left.is_set() or self._patience.stop(state),
            wait=self._patience.wait,
            before_sleep=self._patience.before_sleep,
            sleep=sleep_using_event(left),
            reraise=True,
        )

        def ask(request: SimulationRequest) -> Future[SimulationResult]:
            self._check_usable()
            try:
                return self._pool.submit(retrying, self._ask, request)
            except RuntimeError:  # closed since
                raise client_is_closed() from None

        return ask

    def _check_usable(self) -> None:
        if self._closing.is_set():
            raise client_is_closed()
        if self._is_copy():  # its threads stayed behind: whoever waited for them would wait for ever
            raise client_is_elsewhere("process", "connect in each process, after it was forked")

    def _is_copy(self) -> bool:
        """Whether this process was forked from the client's own, and has no more than a copy of it."""
        return os.getpid() != self._process

    def _finish(
        self,
        plan: JobPlan,
        ask: Callable[[SimulationRequest], Future[SimulationResult]],
        part: Part,
        future: Future[SimulationResult],
    ) -> Chunk:
        try:
            result = future.result()
            if plan.must_ask_again(result):
                result = ask(plan.request(part)).result()
        except CancelledError:
            raise client_is_closed() from None
        except ZdcError as error:
            if self._closing.is_set() and type(error) in (ZdcError, NotReadyError):
                raise client_is_closed() from None
            raise plan.explained(part, error) from error.__cause__
        return plan.chunk(part, result)

    def _ask(self, request: SimulationRequest) -> SimulationResult:
        result = self._exchange(request)
        self._patience.answered()
        return result

    @abstractmethod
    def _exchange(self, request: SimulationRequest) -> SimulationResult:
        """Send one request and wait for its whole answer; raises ZdcError of the server's kind."""

    @abstractmethod
    def graph_sha256(self, model: str, version: int) -> str:
        """Hash of a model's graph, from its card: what tells it from another one of that name and version.

        Raises
        ------
        ModelNotFoundError : it is not there.
        ZdcError : the server does not answer, or refuses to.
        """

    @abstractmethod
    def _disconnect(self) -> None:
        """End requests under way."""

    def close(self) -> None:
        """End what is under way and disconnect; the client is of no use afterwards. May be called again."""
        self._closing.set()
        if self._is_copy():  # the connections are the other's
            return
        for left in list(self._left):
            left.set()
        self._disconnect()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._place}{', closed' if self._closing.is_set() else ''}>"

    def __enter__(self) -> Self:
        self._check_usable()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
