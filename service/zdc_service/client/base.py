"""What all clients share: jobs of any size, several requests in flight, retries, errors in the job's numbering."""

import logging
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential
from tenacity.nap import sleep_using_event
from zdc_detector.errors import InvalidInputError, NotReadyError, OverloadedError, ZdcError, rename_row
from zdc_detector.particles import Particles
from zdc_detector.random import check_seed, fresh_seed

from zdc_service.client.chunks import NO_PARTICLES, Chunk, Part, chunk_of, split
from zdc_service.simulation import OutOfRange, Output, SimulationRequest, SimulationResult

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClientOptions:
    """How a client talks to its server.

    Attributes
    ----------
    rows_per_request : Most rows of one request; larger jobs are split, which changes no result.
    in_flight : Requests under way at the same time, so that the server computes while answers travel.
    timeout_seconds : Deadline of one request; also how long it is offered again to a server whose queue is full.
    retry_seconds : How long a request is offered again where no server answers, at growing intervals; the first
        failure is logged at once. A request names its seed and rows, so that asking again is safe.
    ca_file : PEM file of the authorities that may sign a server's certificate; default: those that the system trusts.
    client_certificate, client_key : PEM files of the caller's own certificate, for servers that ask for one.
    token_file : File with the caller's bearer token, read for each request, so that it may be replaced meanwhile.
    """

    rows_per_request: int = 1024
    in_flight: int = 4
    timeout_seconds: float = 120.0
    retry_seconds: float = 10.0
    ca_file: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    token_file: Path | None = None


class Client(ABC):
    """Simulates particles somewhere; use it in a ``with`` block.

    Implementations send one bounded request and wait for its answer (`_exchange`), from several threads at once.
    """

    def __init__(self, options: ClientOptions):
        self._options = options
        self._closing = threading.Event()
        self._saying = threading.Lock()
        self._said = False  # since the last answer
        self._pool = ThreadPoolExecutor(options.in_flight, thread_name_prefix="zdc-client")
        self._retrying = Retrying(
            retry=retry_if_exception_type((OverloadedError, NotReadyError)),
            stop=self._out_of_patience,
            wait=wait_random_exponential(multiplier=0.1, max=5.0),
            before_sleep=self._say_that_no_server_answers,
            sleep=sleep_using_event(self._closing),
            reraise=True,
        )

    def simulate(
        self,
        particles: Particles | Iterable[Particles],
        *,
        seed: int | None = None,
        repeats: int = 1,
        output: Output = Output.RESPONSE,
        out_of_range: OutOfRange = OutOfRange.ERROR,
        first_row: int = 0,
        model: str | None = None,
        version: int | None = None,
        rates: bool = False,
    ) -> Iterator[Chunk]:
        """Simulate a job of any size; the rows do not depend on how it is split.

        Parameters
        ----------
        particles : One block, or blocks that follow each other and are fetched as they are needed.
        seed, repeats, output, out_of_range, first_row, model, version, rates : As in `SimulationRequest`; a seed
            is drawn once for the job where none is given.

        Returns
        -------
        The job's rows in order, one chunk a request, all of one version. At most ``in_flight`` requests are ahead
        of the caller.

        Raises
        ------
        InvalidInputError : seed, first_row or repeats cannot be; while iterating also a particle, by its number
            in the job.
        ZdcError : of the kind that the server answers.
        """
        seed = fresh_seed() if seed is None else seed
        check_seed(seed, first_row)
        if repeats < 1:
            raise InvalidInputError(f"repeats = {repeats} must be at least 1")
        blocks = [particles] if isinstance(particles, Particles) else particles
        job = SimulationRequest(NO_PARTICLES, seed, first_row, repeats, output, out_of_range, rates, model, version)
        return self._run(blocks, job)

    def _run(self, blocks: Iterable[Particles], job: SimulationRequest) -> Iterator[Chunk]:
        ahead: deque[tuple[Part, Future[SimulationResult]]] = deque()
        version = job.version  # of the whole job: the first answer's, whatever the server loads meanwhile
        try:
            for part in split(blocks, job, self._options.rows_per_request):
                request = replace(part.request, version=version)
                ahead.append((part, self._pool.submit(self._retrying, self._ask, request)))
                if len(ahead) >= self._options.in_flight:
                    chunk = self._finish(job, version, *ahead.popleft())
                    version = chunk.version
                    yield chunk
            while ahead:
                chunk = self._finish(job, version, *ahead.popleft())
                version = chunk.version
                yield chunk
        finally:
            for _, future in ahead:
                future.cancel()

    def _finish(
        self, job: SimulationRequest, version: int | None, part: Part, future: Future[SimulationResult]
    ) -> Chunk:
        try:
            result = future.result()
            if version is not None and result.version != version:
                result = self._retrying(self._ask, replace(part.request, version=version))
        except ZdcError as error:
            raise rename_row(error, lambda row: f"particle[{part.first_particle + row}]") from error
        return chunk_of(part, job, result)

    def _ask(self, request: SimulationRequest) -> SimulationResult:
        result = self._exchange(request)
        self._said = False
        return result

    def _say_that_no_server_answers(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        with self._saying:
            if isinstance(error, NotReadyError) and not self._said:
                self._said = True
                log.warning("%s (trying again for %g s)", error, self._options.retry_seconds)

    def _out_of_patience(self, state: RetryCallState) -> bool:
        full = state.outcome is not None and isinstance(state.outcome.exception(), OverloadedError)
        limit = self._options.timeout_seconds if full else self._options.retry_seconds
        return self._closing.is_set() or (state.seconds_since_start or 0.0) >= limit

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
