"""Servers that restart during a job, and models that change: no row is lost, repeated or from another version."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import SIGKILL, SIGTERM

import numpy as np
import pytest
from helpers.files.same_results import assert_same
from helpers.models.tiny_model import TinyModel, some_particles, write_model
from helpers.servers.running_server import RunningServer
from helpers.servers.served_process import Process
from zdc_service.client import Chunk, ClientOptions, NotReadyError, Particles, concatenate, connect, connect_async
from zdc_service.settings import ServerSettings

SERVED = ("grpc", "http")
PARTICLES = some_particles(400, seed=8)


@contextmanager
def served(models: Path, *options: str) -> Iterator[Process]:
    process = Process("--models", str(models), "--default-model", "tiny", "--threads", "1", *options)
    try:
        yield process
    finally:
        if process.popen.poll() is None:
            process.end(SIGTERM)


def ports_of(process: Process) -> tuple[str, ...]:
    """Options with which another server listens on the same ports."""
    http, grpc = (address.rsplit(":", 1)[1] for address in (process.http, process.grpc))
    return "--http-port", http, "--grpc-port", grpc


def url_of(process: Process, way: str) -> str:
    return process.http if way == "http" else f"grpc://{process.grpc}"


class Halfway:
    """Blocks of particles; the job pauses half-way until its server has ended."""

    def __init__(self, gone: asyncio.Event):
        self.reached = asyncio.Event()
        self._gone = gone

    async def blocks(self) -> AsyncIterator[Particles]:
        for start in range(0, len(PARTICLES), 20):
            if start == 200:
                self.reached.set()
                await self._gone.wait()
            yield PARTICLES[start : start + 20]


def test_a_restarted_server_loses_and_repeats_no_row(
    models_folder: Path, server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def job(url: str, halfway: Halfway) -> Chunk:
        async with connect_async(url, ClientOptions(rows_per_request=30, retry_seconds=60)) as client:
            return await client.run(halfway.blocks(), seed=5, repeats=3)

    async def jobs() -> list[Chunk]:
        gone = asyncio.Event()
        halfway = [Halfway(gone) for _ in SERVED]
        with ExitStack() as stack:
            first = stack.enter_context(served(models_folder))
            running = [
                asyncio.create_task(job(url_of(first, way), at)) for way, at in zip(SERVED, halfway, strict=True)
            ]
            await asyncio.gather(*[at.reached.wait() for at in halfway])
            first.end(SIGKILL)
            gone.set()
            await asyncio.to_thread(lambda: stack.enter_context(served(models_folder, *ports_of(first))))
            return await asyncio.gather(*running)

    found = asyncio.run(jobs())
    with connect(f"grpc://{server.grpc}") as client:
        expected = client.run(PARTICLES, seed=5, repeats=3)
    for result in found:
        assert_same(result, expected)
        np.testing.assert_array_equal(result.row, np.arange(1200))
    assert len(re.findall("trying again for 60 s", caplog.text)) == len(SERVED)


@pytest.mark.parametrize("way", SERVED)
def test_chunks_received_before_the_retries_end_are_kept(models_folder: Path, way: str) -> None:
    running = RunningServer(ServerSettings(models=models_folder, default_model="tiny", http_port=0, grpc_port=0))
    received: list[Chunk] = []

    async def job() -> None:
        options = ClientOptions(rows_per_request=10, in_flight=1, retry_seconds=0.3)
        async with connect_async(running.http if way == "http" else f"grpc://{running.grpc}", options) as client:
            async for chunk in client.simulate(PARTICLES, seed=5, output="channels"):
                received.append(chunk)
                if len(received) == 7:
                    await asyncio.to_thread(running.stop)

    with pytest.raises(NotReadyError, match="is a server listening there"):
        asyncio.run(job())
    assert [chunk.asked for chunk in received] == [range(10 * i, 10 * i + 10) for i in range(7)]


@pytest.mark.parametrize("way", SERVED)
def test_a_job_keeps_its_version_when_a_newer_one_appears(tmp_path: Path, way: str) -> None:
    write_model(tmp_path, TinyModel())
    settings = ServerSettings(models=tmp_path, http_port=0, grpc_port=0, threads=1, model_poll_seconds=0)
    running = RunningServer(settings)

    def rows(version: int) -> float:
        labels = {"model": "tiny", "version": str(version)}
        return running.server.simulator.instruments.registry.get_sample_value("zdc_rows_total", labels) or 0.0

    async def job() -> list[Chunk]:
        chunks = []
        async with connect_async(running.http if way == "http" else f"grpc://{running.grpc}") as client:

            async def blocks() -> AsyncIterator[Particles]:
                for block in range(8):
                    if block == 2:  # two requests are answered; the caller has not read their chunks yet
                        async with asyncio.timeout(30):
                            while rows(1) < 20:
                                await asyncio.sleep(0.005)
                        write_model(tmp_path, TinyModel(version=2, seed=2))
                        await asyncio.to_thread(running.server.simulator.repository.refresh)
                        assert (await client.run(PARTICLES[:1])).version == 2
                    yield PARTICLES[10 * block : 10 * block + 10]

            async for chunk in client.simulate(blocks(), seed=1, output="channels"):
                chunks.append(chunk)
            again = await client.run(PARTICLES[:80], seed=1, output="channels", version=1)
        np.testing.assert_array_equal(concatenate(chunks).channels, again.channels)
        assert rows(2) == 1 + 2 * 10  # two requests were sent again
        return chunks

    try:
        assert {chunk.version for chunk in asyncio.run(job())} == {1}
    finally:
        running.stop()
