"""What all clients with an event loop share: a window of requests under way, retries, cancellation."""

from __future__ import annotations  # signatures name `ParticlesLike` instead of all that it is

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Coroutine, Iterable
from contextlib import aclosing
from typing import Any, Self

from tenacity import AsyncRetrying
from zdc_common.errors import ZdcError

from zdc_service.client.chunks import Chunk, Part, concatenate
from zdc_service.client.errors import client_is_closed, client_is_elsewhere
from zdc_service.client.options import ClientOptions
from zdc_service.client.particles import ParticlesLike, blocks_of
from zdc_service.client.patience import Patience
from zdc_service.client.plan import JobPlan, OutOfRangeLike, OutputLike
from zdc_service.simulation import OutOfRange, Output, SimulationRequest, SimulationResult

#: As `Client.simulate` takes particles, and from sources that are themselves waited for.
AsyncParticles = ParticlesLike | Iterable[ParticlesLike] | AsyncIterable[ParticlesLike]


class AsyncClient(ABC):
    """Simulates particles somewhere; made by `connect_async`, best in an ``async with`` block, or else `aclose` it.

    It serves any number of tasks of one event loop: that of its first request.

    Implementations send one bounded request and wait for its answer (`_exchange`). At most `ClientOptions.in_flight`
    requests are under way, of all jobs together. A task that is cancelled takes its requests along, and the server
    drops what it has not computed.
    """

    def __init__(self, options: ClientOptions, place: str):
        self._options = options
        self._place = place
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._slots = asyncio.Semaphore(options.in_flight)
        self._tasks: set[asyncio.Task[SimulationResult]] = set()
        self._patience = Patience(options)
        self._retrying = AsyncRetrying(
            retry=self._patience.retry,
            stop=self._patience.stop,
            wait=self._patience.wait,
            before_sleep=self._patience.before_sleep,
            sleep=asyncio.sleep,
            reraise=True,
        )

    def simulate(
        self,
        particles: AsyncParticles,
        *,
        seed: int | None = None,
        repeats: int = 1,
        output: OutputLike = Output.RESPONSE,
        out_of_range: OutOfRangeLike = OutOfRange.ERROR,
        first_row: int = 0,
        model: str | None = None,
        version: int | None = None,
        rates: bool = False,
    ) -> AsyncGenerator[Chunk, None]:
        """Simulate a job of any size; the rows do not depend on how it is split.

        Parameters
        ----------
        particles : As `zdc_service.client.Client.simulate` takes them; blocks may come from an asynchronous iterator
            too.
        seed, repeats, output, out_of_range, first_row, model, version, rates : As there.

        Returns
        -------
        The job's rows in order, for ``async for``: the same chunks as there. Leave the loop early within
        ``async with contextlib.aclosing(...)``, so that what is under way ends at once.

        Raises
        ------
        ZdcError : as there, of the same classes.
        """
        plan = JobPlan(
            self._options.rows_per_request, seed, repeats, output, out_of_range, first_row, model, version, rates
        )
        source = particles if isinstance(particles, AsyncIterable) else _one_by_one(blocks_of(particles))
        return self._chunks(source, plan)

    async def run(
        self,
        particles: AsyncParticles,
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
        chunks = self.simulate(
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
        async with aclosing(chunks):
            return concatenate([chunk async for chunk in chunks])

    async def _chunks(self, blocks: AsyncIterable[ParticlesLike], plan: JobPlan) -> AsyncGenerator[Chunk, None]:
        ahead: deque[tuple[Part, asyncio.Task[SimulationResult]]] = deque()
        try:
            async for block in blocks:
                for part in plan.parts(block):
                    ahead.append((part, self._start(plan.request(part))))
                    if len(ahead) >= self._options.in_flight:
                        yield await self._finish(plan, *ahead.popleft())
            while ahead:
                yield await self._finish(plan, *ahead.popleft())
        finally:
            await _cancel([task for _, task in ahead])

    def _start(self, request: SimulationRequest) -> asyncio.Task[SimulationResult]:
        self._check_usable()
        self._loop = asyncio.get_running_loop()
        # A copy: tenacity keeps the state of a call in the object, and all tasks are on one thread.
        asking: Coroutine[Any, Any, SimulationResult] = self._retrying.copy()(self._ask, request)
        task = asyncio.create_task(asking)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _check_usable(self) -> None:
        if self._closed:
            raise client_is_closed()
        if self._is_of_another_loop():
            raise client_is_elsewhere("event loop", "connect in each one")

    def _is_of_another_loop(self) -> bool:
        return self._loop is not None and self._loop is not asyncio.get_running_loop()

    async def _finish(self, plan: JobPlan, part: Part, task: asyncio.Task[SimulationResult]) -> Chunk:
        try:
            result = await task  # cancels it where the caller is cancelled
            if plan.must_ask_again(result):
                result = await self._start(plan.request(part))
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if self._closed and caller is not None and not caller.cancelling():
                raise client_is_closed() from None
            raise
        except ZdcError as error:
            raise plan.explained(part, error) from error.__cause__
        return plan.chunk(part, result)

    async def _ask(self, request: SimulationRequest) -> SimulationResult:
        async with self._slots:
            result = await self._exchange(request)
        self._patience.answered()
        return result

    @abstractmethod
    async def _exchange(self, request: SimulationRequest) -> SimulationResult:
        """Send one request and wait for its whole answer; raises ZdcError of the server's kind."""

    @abstractmethod
    async def _disconnect(self) -> None:
        """Close the connections."""

    async def aclose(self) -> None:
        """End what is under way and disconnect; the client is of no use afterwards. May be called again."""
        self._closed = True
        if self._is_of_another_loop():  # tasks and connections ended with theirs
            return
        await _cancel(list(self._tasks))
        await self._disconnect()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._place}{', closed' if self._closed else ''}>"

    async def __aenter__(self) -> Self:
        self._check_usable()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


async def _one_by_one(blocks: Iterable[ParticlesLike]) -> AsyncGenerator[ParticlesLike, None]:
    for block in blocks:
        yield block


async def _cancel(tasks: list[asyncio.Task[SimulationResult]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
