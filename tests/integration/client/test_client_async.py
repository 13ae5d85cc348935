"""The asynchronous client with real servers: the same rows as the synchronous one, and tasks that are cancelled."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from helpers.files.same_results import assert_same
from helpers.models.tiny_model import some_particles
from helpers.servers.certificates import Authority
from helpers.servers.running_server import RunningServer
from zdc_service.client import (
    AsyncClient,
    Chunk,
    ClientOptions,
    InvalidInputError,
    ModelNotFoundError,
    NotReadyError,
    OutOfRangeError,
    Output,
    Particles,
    TooLargeError,
    UnauthenticatedError,
    ZdcError,
    connect,
    connect_async,
)
from zdc_service.settings import EngineSettings, ServerSettings

WAYS = ("local", "grpc", "http")
SERVED = ("grpc", "http")
TOKEN = "alice-0123456789abcdef"


def url_of(server: RunningServer, way: str) -> str | None:
    return {"grpc": f"grpc://{server.grpc}", "http": server.http, "local": None}[way]


@pytest.fixture
def client_of(models_folder: Path, server: RunningServer) -> Callable[..., AsyncClient]:
    def opened(way: str, **options: Any) -> AsyncClient:
        settings = EngineSettings(models=models_folder, default_model="tiny", max_request_rows=3000)
        return connect_async(url_of(server, way), ClientOptions(**options), settings if way == "local" else None)

    return opened


Open = Callable[..., AsyncClient]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("output", list(Output))
def test_a_job_has_the_rows_of_the_synchronous_client(
    client_of: Open, server: RunningServer, output: Output, way: str
) -> None:
    particles = some_particles(90, seed=4)
    with connect(f"grpc://{server.grpc}") as client:
        expected = client.run(particles, seed=11, repeats=3, output=output, first_row=1000)

    async def job(rows: int) -> Chunk:
        async with client_of(way, rows_per_request=rows) as client:
            return await client.run(particles, seed=11, repeats=3, output=output.value, first_row=1000)

    for rows in (4, 4096):
        found = asyncio.run(job(rows))
        assert_same(found, expected)
        assert found.row.tolist() == list(range(1000, 1270))
        if output is not Output.CHANNELS:
            np.testing.assert_array_equal(found.images.sum(axis=(1, 2)), found.channels.sum(axis=1))


def test_answers_above_four_megabytes_arrive(client_of: Open) -> None:
    async def job(way: str) -> Chunk:
        async with client_of(way, rows_per_request=2000) as client:
            return await client.run(some_particles(2000, seed=5), seed=1)

    one, other = [asyncio.run(job(way)) for way in SERVED]
    assert one.images.nbytes > 4 << 20
    assert_same(one, other)


@pytest.mark.parametrize("way", WAYS)
def test_blocks_are_fetched_only_as_they_are_needed(client_of: Open, way: str) -> None:
    fetched = []

    async def blocks() -> AsyncIterator[Particles]:
        for i in range(100):
            fetched.append(i)
            await asyncio.sleep(0)
            yield some_particles(5, seed=i)

    async def job() -> None:
        taken = 0
        async with client_of(way, in_flight=3) as client, aclosing(client.simulate(blocks(), seed=1)) as chunks:
            async for chunk in chunks:
                assert chunk.asked == range(5 * taken, 5 * taken + 5)
                taken += 1
                assert len(fetched) <= taken + 3
                if taken == 10:
                    break

    asyncio.run(job())


@pytest.mark.parametrize("way", SERVED)
def test_64_jobs_at_the_same_time_get_their_own_rows(client_of: Open, server: RunningServer, way: str) -> None:
    particles = some_particles(64 * 8, seed=6)
    with connect(server.http) as client:
        expected = client.run(particles, seed=2, output="channels")

    async def jobs() -> list[Chunk]:
        async with client_of(way, rows_per_request=3) as client:
            blocks = [particles[8 * i : 8 * i + 8] for i in range(64)]
            return await asyncio.gather(
                *[client.run(block, seed=2, output="channels", first_row=8 * i) for i, block in enumerate(blocks)]
            )

    found = asyncio.run(jobs())
    np.testing.assert_array_equal(np.concatenate([chunk.channels for chunk in found]), expected.channels)
    np.testing.assert_array_equal(np.concatenate([chunk.row for chunk in found]), expected.row)


@pytest.mark.parametrize("way", WAYS)
def test_leaving_a_loop_early_cancels_its_requests(client_of: Open, way: str, caplog: pytest.LogCaptureFixture) -> None:
    async def job() -> None:
        async with client_of(way, rows_per_request=500) as client:
            async for chunk in client.simulate(some_particles(4000), seed=1):
                assert len(chunk.row) == 500
                break

    asyncio.run(job(), debug=True)
    assert [record for record in caplog.records if "never" in record.message or "destroyed" in record.message] == []


def outside(n: int, wrong: int) -> dict[str, np.ndarray]:
    """N particles, one of them with an energy outside the model's training range."""
    pz = np.full(n, 500.0)
    pz[wrong] = 5.0
    return {"pdg": np.full(n, 2112), "px": np.zeros(n), "py": np.zeros(n), "pz": pz}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("particles", "options", "error", "message"),
    [
        (outside(60, 37), {}, OutOfRangeError, r"particle\[37\]: energy"),
        (outside(1, 0), {"model": "absent"}, ModelNotFoundError, "absent"),
        (outside(1, 0), {"repeats": 0}, InvalidInputError, "repeats = 0"),
        (outside(1, 0), {"output": "image"}, InvalidInputError, "must be one of response, channels, hits"),
        ([], {}, InvalidInputError, "at least one particle"),
        (np.zeros((4, 7)), {}, InvalidInputError, "without named columns"),
    ],
)
def test_errors_keep_their_class(
    client_of: Open, way: str, particles: Any, options: dict[str, Any], error: type[ZdcError], message: str
) -> None:
    async def job() -> None:
        async with client_of(way, rows_per_request=10) as client:
            await client.run(particles, seed=1, **options)

    with pytest.raises(error, match=message):
        asyncio.run(job())


@pytest.mark.parametrize("way", WAYS)
def test_requests_above_the_limit_are_refused_with_the_remedy(client_of: Open, way: str) -> None:
    async def job() -> None:
        async with client_of(way, rows_per_request=6000) as client:
            await client.run(some_particles(6), repeats=1000)

    with pytest.raises(TooLargeError, match="split the particles"):
        asyncio.run(job())


@pytest.mark.parametrize("way", SERVED)
def test_the_error_names_the_absent_server(way: str, caplog: pytest.LogCaptureFixture) -> None:
    async def job() -> None:
        async with connect_async(f"{way}://127.0.0.1:1", ClientOptions(retry_seconds=0.2)) as client:
            await client.run(some_particles(1))

    with pytest.raises(NotReadyError, match=r"127.0.0.1:1.*is a server listening there"):
        asyncio.run(job())
    (line,) = [record.message for record in caplog.records if record.name.startswith("zdc")]
    assert line.endswith("(trying again for 0.2 s)")


def test_tls_and_tokens_travel_with_both_protocols(models_folder: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.server(tmp_path, "localhost")
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKEN)
    settings = ServerSettings(
        models=models_folder, default_model="tiny", http_port=0, grpc_port=0, threads=1,
        tls_certificate=pair.certificate, tls_key=pair.key, token_files=[tokens],
    )  # fmt: skip
    running = RunningServer(settings)
    urls = [f"https://localhost:{running.server.http_port}", f"grpcs://localhost:{running.server.grpc_port}"]

    async def job(url: str, **options: Any) -> Chunk:
        async with connect_async(url, ClientOptions(ca_file=authority.file, **options)) as client:
            return await client.run(some_particles(5), seed=1)

    try:
        found = [asyncio.run(job(url, token_file=tokens)) for url in urls]
        for url in urls:
            with pytest.raises(UnauthenticatedError, match="this server needs a token"):
                asyncio.run(job(url))
    finally:
        running.stop()
    assert_same(found[0], found[1])


def test_a_call_cancelled_by_the_server_is_an_error_and_does_not_cancel_the_task() -> None:
    class Elsewhere(grpc.GenericRpcHandler):
        """Another server, which cancels every call."""

        def service(self, _details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
            return grpc.stream_stream_rpc_method_handler(self.end)

        def end(self, _requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            context.abort(grpc.StatusCode.CANCELLED, "no more")

    async def job(port: int) -> None:
        async with connect_async(f"grpc://127.0.0.1:{port}") as client:
            await client.run(some_particles(3))

    with ThreadPoolExecutor(1) as pool:
        foreign = grpc.server(pool, [Elsewhere()])
        port = foreign.add_insecure_port("127.0.0.1:0")
        foreign.start()
        try:
            with pytest.raises(ZdcError, match="CANCELLED"):
                asyncio.run(job(port))
        finally:
            foreign.stop(None).wait()


def test_sync_and_async_clients_share_a_process(client_of: Open, server: RunningServer) -> None:
    async def both() -> list[Chunk]:
        with connect(f"grpc://{server.grpc}") as threaded:
            asking: list[Awaitable[Chunk]] = [asyncio.to_thread(threaded.run, some_particles(9), seed=3)]
            async with client_of("grpc") as client:
                asking.append(client.run(some_particles(9), seed=3))
                return await asyncio.gather(*asking)

    assert_same(*asyncio.run(both()))
