"""Asynchronous jobs that wait for their server: cancellation, a full queue, the deadline, closing."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from helpers.models.tiny_model import some_particles
from helpers.servers.running_server import RunningServer
from helpers.waiting import until
from zdc_service.client import AsyncClient, ClientOptions, DeadlineError, NotReadyError, connect_async
from zdc_service.settings import ServerSettings

SERVED = ("grpc", "http")


def queue_rows(server: RunningServer) -> float:
    return server.server.simulator.instruments.registry.get_sample_value("zdc_queue_rows") or 0.0


def requests(server: RunningServer, kind: str) -> float:
    """Number of requests of this kind, over both protocols."""
    registry = server.server.simulator.instruments.registry
    labels = [{"protocol": protocol, "kind": kind} for protocol in ("http", "grpc_stream")]
    return sum(registry.get_sample_value("zdc_requests_total", label) or 0.0 for label in labels)


@dataclass(frozen=True)
class Held:
    """A server whose engine waits for the test before each run, so that the test controls the queue."""

    server: RunningServer
    gate: threading.Event

    def url(self, way: str) -> str:
        return self.server.http if way == "http" else f"grpc://{self.server.grpc}"


@pytest.fixture
def held(models_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    settings = ServerSettings(
        models=models_folder, default_model="tiny", http_port=0, grpc_port=0, threads=1, max_batch_rows=8,
        max_request_rows=64, max_queue_rows=64,
    )  # fmt: skip
    running, gate = RunningServer(settings), threading.Event()
    gate.set()
    engine = running.server.simulator.repository.get("tiny", None)
    run = engine.run

    def wait_and_run(*arrays: np.ndarray) -> np.ndarray:
        assert gate.wait(30)
        return run(*arrays)

    monkeypatch.setattr(engine, "run", wait_and_run)
    monkeypatch.setattr(engine, "row_seconds", 1.0)  # so slow that the server's event loop passes it to a worker thread
    yield Held(running, gate)
    gate.set()
    running.stop()


@pytest.mark.parametrize("way", SERVED)
def test_cancelling_a_job_empties_the_queue_of_the_server(held: Held, way: str) -> None:
    async def job(client: AsyncClient) -> None:
        await client.run(some_particles(48), seed=1, output="channels")

    async def cancel() -> None:
        held.gate.clear()
        async with connect_async(held.url(way), ClientOptions(rows_per_request=12)) as client:
            running = asyncio.create_task(job(client))
            await until(lambda: queue_rows(held.server) >= 40)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            await until(lambda: requests(held.server, "cancelled") == 4)
            held.gate.set()
            again = await client.run(some_particles(3), seed=1, output="channels")  # the client still works
            assert len(again.row) == 3
        await until(lambda: queue_rows(held.server) == 0)

    asyncio.run(cancel())
    computed = held.server.server.simulator.instruments.registry.get_sample_value(
        "zdc_rows_total", {"model": "tiny", "version": "2"}
    )
    assert computed is not None
    assert computed < 48


@pytest.mark.parametrize("way", SERVED)
def test_a_full_queue_is_retried_after_the_time_that_the_server_names(held: Held, way: str) -> None:
    async def jobs() -> tuple[list[int], float]:
        held.gate.clear()
        loop = asyncio.get_running_loop()
        async with connect_async(held.url(way), ClientOptions(rows_per_request=60)) as client:
            filling = asyncio.create_task(client.run(some_particles(60), seed=1, output="channels"))
            await until(lambda: queue_rows(held.server) > 40)
            waiting = asyncio.create_task(client.run(some_particles(60), seed=2, output="channels"))
            await until(lambda: requests(held.server, "overloaded") >= 1)
            refused = loop.time()
            held.gate.set()
            return [len(chunk.row) for chunk in await asyncio.gather(filling, waiting)], loop.time() - refused

    rows, seconds = asyncio.run(jobs())
    assert rows == [60, 60]
    if way == "http":  # says Retry-After: 1
        assert requests(held.server, "overloaded") == 1
        assert seconds > 0.9


@pytest.mark.parametrize("way", SERVED)
def test_a_missed_deadline_is_an_error_and_cancels_the_request(held: Held, way: str) -> None:
    async def job() -> None:
        held.gate.clear()
        async with connect_async(held.url(way), ClientOptions(timeout_seconds=0.2)) as client:
            await client.run(some_particles(20), seed=1)

    with pytest.raises(DeadlineError, match=r"no answer within 0.2 s; send fewer rows"):
        asyncio.run(job())
    held.gate.set()
    asyncio.run(until(lambda: queue_rows(held.server) == 0))


@pytest.mark.parametrize("way", SERVED)
def test_closing_ends_jobs_that_other_tasks_wait_for(held: Held, way: str) -> None:
    async def job() -> None:
        held.gate.clear()
        client = connect_async(held.url(way))
        waiting = asyncio.create_task(client.run(some_particles(20), seed=1))
        await until(lambda: queue_rows(held.server) > 0)
        await client.aclose()
        with pytest.raises(NotReadyError, match="the client was closed"):
            await waiting
        with pytest.raises(NotReadyError, match="the client was closed"):
            await client.run(some_particles(1))

    asyncio.run(job())
