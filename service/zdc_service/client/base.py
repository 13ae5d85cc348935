"""Base class of the clients with threads: bounded concurrency, retries and closing."""

from __future__ import annotations  # signatures show `ParticlesLike` instead of its long definition

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
from zdc_detector.frames import Frame

from zdc_service.client.chunks import Chunk, JobRequest, concatenate
from zdc_service.client.errors import client_is_closed, client_is_elsewhere
from zdc_service.client.model_facts import ModelFacts
from zdc_service.client.options import ClientOptions
from zdc_service.client.particles import ParticlesLike, blocks_of
from zdc_service.client.plan import FrameLike, JobPlan, OutOfRangeLike, OutputLike
from zdc_service.client.retries import RetryPolicy
from zdc_service.simulation import OutOfRange, Output, SimulationRequest, SimulationResult


def _started_pool(size: int) -> ThreadPoolExecutor:
    """A thread pool with all its threads started.

    If Ctrl-C arrives while a pool starts a thread, the pool does not register that thread, and the program waits for
    it for ever at its end. Python interrupts only the main thread, so a second thread starts the pool's threads here.
    """
    pool = ThreadPoolExecutor(size, thread_name_prefix="zdc-client")
    all_run = threading.Barrier(size)

    def start() -> None:
        try:
            for _ in range(size):
                pool.submit(all_run.wait)
        except RuntimeError:  # the program is ending: the started threads must not wait for the missing ones
            all_run.abort()

    starting = threading.Thread(target=start, name="zdc-client-start")
    starting.start()
    starting.join()
    return pool


class Client(ABC):
    """A client with threads. `connect` creates it; use it in a ``with`` block, or call `close` at the end.

    Any number of threads can share one client. Processes cannot: call `connect` in each process, after the fork.

    A subclass implements `_exchange`, which sends one request of bounded size and waits for the reply; several threads
    call it at the same time.
    """

    def __init__(self, options: ClientOptions, place: str):
        self._options = options
        self._place = place
        self._process = os.getpid()
        self._closing = threading.Event()
        self._abandoned: set[threading.Event] = set()  # one event per job; set when the caller has left the job
        self._pool = _started_pool(int(options.in_flight))
        self._retry_policy = RetryPolicy(options)

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
        frame: FrameLike = Frame.VERTEX,
    ) -> Iterator[Chunk]:
        """Simulate a job of any size. The rows do not depend on how the job is split into requests.

        Parameters
        ----------
        particles : One block of N particles, or an iterable of blocks, which is read as the job proceeds. A block is
            `Particles`, or a mapping, a table or a structured array with the columns of `Particles.from_columns`:
            ``pdg``, ``px``, ``py``, ``pz`` [GeV/c] and, optionally, ``vx``, ``vy``, ``vz`` [cm], shape (N,) each. A
            request never spans two blocks, so one block of a hundred particles is much faster than a hundred blocks.
        seed : 0 <= seed < 2**53. If None, a seed is drawn for the job; every chunk carries the seed.
        repeats : Responses per particle.
        output : ``response``, ``channels`` or ``hits``: the result for each row.
        out_of_range : ``error``, ``skip`` or ``extrapolate``: the treatment of particles outside the model's training
            range. ``extrapolate`` applies to energies, vertices, and positions and slopes at the face; another species
            or frame is an error in any case.
        first_row : Row number of the first particle's first repeat, to continue a job.
        model, version : Name and version of the model. Default: the server's default model, and the newest version.
        rates : Return the model's photon rates as float32 instead of photon counts.
        frame : ``vertex``: particles are given at their production vertex. ``face``: they are given at the face of the
            calorimeter, ``vx`` and ``vy`` are the position there, and ``vz`` may be left out. A model must know this
            frame.

        Returns
        -------
        An iterator over the job's rows in order, one `Chunk` per request, all from one version of the model. A chunk
        has ``channels``, shape (M, C), and, depending on `output`, ``response``, shape (M, rows, columns), or ``hits``.
        At most `ClientOptions.in_flight` requests are in flight ahead of the caller.

        Raises
        ------
        InvalidInputError : an option is invalid; during iteration also: a particle is invalid. The message names the
            particle by its number in the job.
        OutOfRangeError : a particle is outside the model's training range; named by its number in the job.
        OverloadedError, NotReadyError : the server's queue was full, or no server answered, for longer than
            `ClientOptions` allow. Chunks received before remain valid.
        DeadlineError : no reply within `ClientOptions.timeout_seconds`.
        ZdcError : another error of the server, e.g. ModelNotFoundError or UnauthenticatedError.
        """
        rows = self._options.rows_per_request
        plan = JobPlan(rows, seed, repeats, output, out_of_range, first_row, model, version, rates, frame)
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
        frame: FrameLike = Frame.VERTEX,
    ) -> Chunk:
        """Simulate a job that fits into memory, and return all rows at once.

        Parameters
        ----------
        particles, seed, repeats, output, out_of_range, first_row, model, version, rates, frame : As in `simulate`.

        Returns
        -------
        The job's M rows: ``channels``, shape (M, C), and, unless `output` is ``channels``, ``images`` with the photons
        of each fibre, shape (M, rows, columns).

        Raises
        ------
        InvalidInputError : there are no particles.
        ZdcError : as in `simulate`.
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
                frame=frame,
            )
        )

    def _chunks(self, blocks: Iterable[ParticlesLike], plan: JobPlan) -> Iterator[Chunk]:
        ahead: deque[tuple[JobRequest, Future[SimulationResult]]] = deque()
        abandoned = threading.Event()
        self._abandoned.add(abandoned)
        ask = self._asking(abandoned)
        try:
            for block in blocks:
                for wanted in plan.requests(block):
                    ahead.append((wanted, ask(plan.request(wanted))))
                    if len(ahead) >= self._options.in_flight:
                        yield self._finish(plan, ask, *ahead.popleft())
            while ahead:
                yield self._finish(plan, ask, *ahead.popleft())
        finally:
            abandoned.set()  # ends the pauses before retries
            self._abandoned.discard(abandoned)
            for _, future in ahead:
                future.cancel()

    def _asking(self, abandoned: threading.Event) -> Callable[[SimulationRequest], Future[SimulationResult]]:
        """A function that starts a request of one job; retries end when `abandoned` is set."""
        retrying = Retrying(
            retry=self._retry_policy.retry,
            stop=lambda state: abandoned.is_set() or self._retry_policy.stop(state),
            wait=self._retry_policy.wait,
            before_sleep=self._retry_policy.before_sleep,
            sleep=sleep_using_event(abandoned),
            reraise=True,
        )

        def ask(request: SimulationRequest) -> Future[SimulationResult]:
            self._check_usable()
            try:
                return self._pool.submit(retrying, self._ask, request)
            except RuntimeError:  # closed since the check above
                raise client_is_closed() from None

        return ask

    def _check_usable(self) -> None:
        if self._closing.is_set():
            raise client_is_closed()
        if self._is_copy():  # a fork does not copy the threads: a request would wait for them for ever
            raise client_is_elsewhere("process", "connect in each process, after it was forked")

    def _is_copy(self) -> bool:
        """Whether this object is a copy that a fork left in another process."""
        return os.getpid() != self._process

    def _finish(
        self,
        plan: JobPlan,
        ask: Callable[[SimulationRequest], Future[SimulationResult]],
        wanted: JobRequest,
        future: Future[SimulationResult],
    ) -> Chunk:
        try:
            result = future.result()
            if plan.must_ask_again(result):
                result = ask(plan.request(wanted)).result()
        except CancelledError:
            raise client_is_closed() from None
        except ZdcError as error:
            if self._closing.is_set() and type(error) in (ZdcError, NotReadyError):
                raise client_is_closed() from None
            raise plan.explained(wanted, error) from error.__cause__
        return plan.chunk(wanted, result)

    def _ask(self, request: SimulationRequest) -> SimulationResult:
        result = self._exchange(request)
        self._retry_policy.answered()
        return result

    @abstractmethod
    def _exchange(self, request: SimulationRequest) -> SimulationResult:
        """Send one request and wait for its whole reply; raises the ZdcError that the server reports."""

    @abstractmethod
    def facts(self, model: str, version: int) -> ModelFacts:
        """Calorimeter of a model, and the hash of its graph, from its card.

        Raises
        ------
        ModelNotFoundError : there is no such model.
        ZdcError : the server does not answer, or refuses the request.
        """

    @abstractmethod
    def _disconnect(self) -> None:
        """End the requests in flight."""

    def close(self) -> None:
        """End the requests in flight and disconnect. The client cannot be used again; a second call does nothing."""
        self._closing.set()
        if self._is_copy():  # the connections belong to the other process
            return
        for abandoned in list(self._abandoned):
            abandoned.set()
        self._disconnect()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._place}{', closed' if self._closing.is_set() else ''}>"

    def __enter__(self) -> Self:
        self._check_usable()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
