"""Base class of the asyncio clients: bounded concurrency, retries and cancellation."""

from __future__ import annotations  # signatures show `ParticlesLike` instead of its long definition

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Coroutine, Iterable
from contextlib import aclosing
from typing import Any, Self

from tenacity import AsyncRetrying
from zdc_common.errors import ZdcError
from zdc_detector.frames import Frame

from zdc_service.client.chunks import Chunk, JobRequest, concatenate
from zdc_service.client.errors import client_is_closed, client_is_elsewhere
from zdc_service.client.options import ClientOptions
from zdc_service.client.particles import ParticlesLike, blocks_of
from zdc_service.client.plan import FrameLike, JobPlan, OutOfRangeLike, OutputLike
from zdc_service.client.retries import RetryPolicy
from zdc_service.simulation import OutOfRange, Output, SimulationRequest, SimulationResult

#: The particles that `Client.simulate` accepts; asynchronous iterables of blocks too.
AsyncParticles = ParticlesLike | Iterable[ParticlesLike] | AsyncIterable[ParticlesLike]


class AsyncClient(ABC):
    """A client for asyncio. `connect_async` creates it; use it in an ``async with`` block, or call `aclose` at the end.

    Any number of tasks can share it, but only on one event loop: the loop of its first request.

    At most `ClientOptions.in_flight` requests are in flight, over all jobs of the client. If a task is cancelled, its
    requests are cancelled too, and the server drops the rows that it has not computed yet.

    A subclass implements `_exchange`, which sends one request of bounded size and waits for the reply.
    """

    def __init__(self, options: ClientOptions, place: str):
        self._options = options
        self._place = place
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._slots = asyncio.Semaphore(options.in_flight)
        self._tasks: set[asyncio.Task[SimulationResult]] = set()
        self._retry_policy = RetryPolicy(options)
        self._retrying = AsyncRetrying(
            retry=self._retry_policy.retry,
            stop=self._retry_policy.stop,
            wait=self._retry_policy.wait,
            before_sleep=self._retry_policy.before_sleep,
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
        frame: FrameLike = Frame.VERTEX,
    ) -> AsyncGenerator[Chunk, None]:
        """Simulate a job of any size. The rows do not depend on how the job is split into requests.

        Parameters
        ----------
        particles : As in `zdc_service.client.Client.simulate`; an asynchronous iterable of blocks is accepted too.
        seed, repeats, output, out_of_range, first_row, model, version, rates, frame : As in `Client.simulate`.

        Returns
        -------
        An asynchronous iterator over the job's rows in order, in the same chunks as `Client.simulate`. To leave the
        loop early, use ``async with contextlib.aclosing(...)``: it cancels the requests in flight at once.

        Raises
        ------
        ZdcError : the same classes, in the same cases, as `Client.simulate`.
        """
        rows = self._options.rows_per_request
        plan = JobPlan(rows, seed, repeats, output, out_of_range, first_row, model, version, rates, frame)
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
            frame=frame,
        )
        async with aclosing(chunks):
            return concatenate([chunk async for chunk in chunks])

    async def _chunks(self, blocks: AsyncIterable[ParticlesLike], plan: JobPlan) -> AsyncGenerator[Chunk, None]:
        ahead: deque[tuple[JobRequest, asyncio.Task[SimulationResult]]] = deque()
        try:
            async for block in blocks:
                for wanted in plan.requests(block):
                    ahead.append((wanted, self._start(plan.request(wanted))))
                    if len(ahead) >= self._options.in_flight:
                        yield await self._finish(plan, *ahead.popleft())
            while ahead:
                yield await self._finish(plan, *ahead.popleft())
        finally:
            await _cancel([task for _, task in ahead])

    def _start(self, request: SimulationRequest) -> asyncio.Task[SimulationResult]:
        self._check_usable()
        self._loop = asyncio.get_running_loop()
        # A copy for each call: tenacity keeps a call's state in the object, and all tasks run on one thread.
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

    async def _finish(self, plan: JobPlan, wanted: JobRequest, task: asyncio.Task[SimulationResult]) -> Chunk:
        try:
            result = await task  # if the caller is cancelled, so is the task
            if plan.must_ask_again(result):
                result = await self._start(plan.request(wanted))
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if self._closed and caller is not None and not caller.cancelling():
                raise client_is_closed() from None
            raise
        except ZdcError as error:
            raise plan.explained(wanted, error) from error.__cause__
        return plan.chunk(wanted, result)

    async def _ask(self, request: SimulationRequest) -> SimulationResult:
        async with self._slots:
            result = await self._exchange(request)
        self._retry_policy.answered()
        return result

    @abstractmethod
    async def _exchange(self, request: SimulationRequest) -> SimulationResult:
        """Send one request and wait for its whole reply; raises the ZdcError that the server reports."""

    @abstractmethod
    async def _disconnect(self) -> None:
        """Close the connections."""

    async def aclose(self) -> None:
        """Cancel the requests in flight and disconnect. The client cannot be used again; a second call does nothing."""
        self._closed = True
        if self._is_of_another_loop():  # its tasks and connections ended with that loop
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
