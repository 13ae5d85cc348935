"""The client library with real servers: the same result in process, over gRPC and over HTTP."""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from helpers.models.tiny_model import some_particles
from helpers.servers.running_server import RunningServer
from zdc_common.errors import (
    ConfigError,
    DeadlineError,
    InvalidInputError,
    ModelNotFoundError,
    NotReadyError,
    OutOfRangeError,
    OverloadedError,
    TooLargeError,
    ZdcError,
)
from zdc_detector.card import ModelCard
from zdc_detector.particles import Particles
from zdc_service.client import Chunk, Client, ClientOptions, ModelFacts, concatenate, connect
from zdc_service.settings import EngineSettings, ServerSettings
from zdc_service.simulation import OutOfRange, Output

Connect = Callable[..., Client]
WAYS = ("local", "grpc", "http")


@contextmanager
def running(settings: ServerSettings) -> Iterator[RunningServer]:
    server = RunningServer(settings)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(params=WAYS)
def client_with(request: pytest.FixtureRequest, models_folder: Path, server: RunningServer) -> Connect:
    return lambda **options: open_client(request.param, models_folder, server, **options)


def urls_of(server: RunningServer) -> dict[str, str]:
    return {"grpc": f"grpc://{server.grpc}", "http": server.http}


def open_client(way: str, models_folder: Path, server: RunningServer, **options: float) -> Client:
    """A client of one of the `WAYS`."""
    url = urls_of(server).get(way)
    settings = EngineSettings(models=models_folder, default_model="tiny", max_request_rows=3000)
    return connect(url, ClientOptions(**options), None if url else settings)  # type: ignore[arg-type]


def assert_same(found: Chunk, expected: Chunk) -> None:
    for name, value in vars(expected).items():
        other = getattr(found, name)
        if name == "hits" and value is not None:
            for part in ("offsets", "fibre", "photons"):
                np.testing.assert_array_equal(getattr(other, part), getattr(value, part))
                assert getattr(other, part).dtype == getattr(value, part).dtype
        elif isinstance(value, np.ndarray):
            np.testing.assert_array_equal(other, value, err_msg=name)
            assert other.dtype == value.dtype, name
        elif name != "timing":
            assert other == value, name


@pytest.mark.parametrize("rates", [False, True])
@pytest.mark.parametrize("output", list(Output))
def test_the_result_does_not_depend_on_protocol_and_requests(
    models_folder: Path, server: RunningServer, output: Output, rates: bool
) -> None:
    particles = some_particles(90, seed=4)
    assert set(particles.side) == {b"A", b"C"}
    results = []
    for way in WAYS:
        for rows in (4, 37, 4096):
            with open_client(way, models_folder, server, rows_per_request=rows) as client:
                chunks = client.simulate(particles, seed=11, repeats=3, output=output, first_row=1000, rates=rates)
                results.append(concatenate(chunks))
    expected = results[0]
    assert len(expected.row) == 270
    assert expected.row.tolist() == list(range(1000, 1270))
    np.testing.assert_array_equal(expected.side, np.repeat(particles.side, 3))
    assert expected.channels.any()
    for result in results[1:]:
        assert_same(result, expected)


def test_answers_above_four_megabytes_arrive(client_with: Connect) -> None:
    particles = some_particles(2000, seed=5)
    with client_with(rows_per_request=2000) as client:
        (chunk,) = client.simulate(particles, seed=1)
    assert chunk.response is not None
    assert chunk.response.nbytes > 4 << 20
    np.testing.assert_array_equal(chunk.response.sum(axis=(1, 2)), chunk.channels.sum(axis=1))


def test_a_seed_is_drawn_once_for_the_job(client_with: Connect) -> None:
    particles = some_particles(30)
    with client_with(rows_per_request=7) as client:
        chunks = list(client.simulate(particles, output=Output.CHANNELS))
        again = concatenate(client.simulate(particles, output=Output.CHANNELS, seed=chunks[0].seed))
        other = concatenate(client.simulate(particles, output=Output.CHANNELS))
    assert len({chunk.seed for chunk in chunks}) == 1
    np.testing.assert_array_equal(again.channels, concatenate(chunks).channels)
    assert other.seed != again.seed


def test_a_model_is_identified_by_its_hash(client_with: Connect, models_folder: Path) -> None:
    with client_with() as client:
        for version in (1, 2):
            card = ModelCard.read(models_folder / "tiny" / str(version))
            assert client.facts("tiny", version) == ModelFacts(card.graph_sha256, card.calorimeter)
        with pytest.raises(ModelNotFoundError, match="has no version 9; loaded are"):
            client.facts("tiny", 9)


def outside(n: int, wrong: list[int]) -> Particles:
    """N particles, some of them with an energy outside the model's training range."""
    pz = np.full(n, 500.0)
    pz[wrong] = 5.0
    return Particles.from_columns({"pdg": np.full(n, 2112), "px": np.zeros(n), "py": np.zeros(n), "pz": pz})


def test_an_error_names_the_particle_in_the_job(client_with: Connect) -> None:
    with client_with(rows_per_request=10) as client, pytest.raises(OutOfRangeError, match=r"particle\[37\]: energy"):
        list(client.simulate(outside(60, [37]), seed=1))


def test_skipped_and_extrapolated_particles_are_counted(client_with: Connect) -> None:
    particles = outside(40, [0, 1, 2, 3, 17])
    with client_with(rows_per_request=4) as client:
        skipped = list(client.simulate(particles, seed=1, out_of_range=OutOfRange.SKIP))
        all_rows = concatenate(client.simulate(particles, seed=1, out_of_range=OutOfRange.EXTRAPOLATE))
    assert len(skipped[0].row) == 0  # a chunk with all its particles skipped
    assert skipped[0].asked == range(4)
    whole = concatenate(skipped)
    assert whole.skipped == {"energy": 5}
    assert all_rows.extrapolated == {"energy": 5}
    assert whole.response is not None
    assert all_rows.response is not None
    kept = np.delete(np.arange(40), [0, 1, 2, 3, 17])
    np.testing.assert_array_equal(whole.row, kept)
    np.testing.assert_array_equal(whole.response, all_rows.response[kept])


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"model": "absent"}, ModelNotFoundError),
        ({"version": 9}, ModelNotFoundError),
        ({"seed": -1}, InvalidInputError),
        ({"seed": 2**53}, InvalidInputError),
        ({"repeats": 0}, InvalidInputError),
        ({"first_row": -1}, InvalidInputError),
    ],
)
def test_errors_keep_their_class(client_with: Connect, arguments: dict[str, int], error: type[ZdcError]) -> None:
    with client_with() as client, pytest.raises(error):
        list(client.simulate(some_particles(1), **arguments))  # type: ignore[arg-type]


def test_requests_above_the_limit_are_refused_with_the_remedy(client_with: Connect) -> None:
    with client_with(rows_per_request=6000) as client, pytest.raises(TooLargeError, match="split the particles"):
        list(client.simulate(some_particles(6), repeats=1000))


def test_blocks_are_fetched_only_as_they_are_needed(client_with: Connect) -> None:
    fetched = []

    def blocks() -> Iterator[Particles]:
        for i in range(100):
            fetched.append(i)
            yield some_particles(5, seed=i)

    with client_with(in_flight=3) as client:
        chunks = client.simulate(blocks(), seed=1, output=Output.CHANNELS)
        for taken, chunk in enumerate(chunks, start=1):
            assert chunk.asked == range(5 * (taken - 1), 5 * taken)
            assert len(fetched) <= taken + 3
            if taken == 10:
                break


def test_an_error_of_the_source_reaches_the_caller(client_with: Connect) -> None:
    def blocks() -> Iterator[Particles]:
        yield some_particles(5)
        raise InvalidInputError("line 7 is wrong")

    with client_with() as client, pytest.raises(InvalidInputError, match="line 7 is wrong"):
        list(client.simulate(blocks(), seed=1))


@pytest.mark.parametrize("way", ["grpc", "http"])
def test_a_deadline_that_passes_is_an_error(models_folder: Path, server: RunningServer, way: str) -> None:
    with (
        open_client(way, models_folder, server, timeout_seconds=1e-6) as client,
        pytest.raises(DeadlineError, match="fewer rows"),
    ):
        list(client.simulate(some_particles(100), seed=1))


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


@pytest.mark.parametrize("way", ["grpc", "http"])
def test_a_server_may_start_late(models_folder: Path, way: str) -> None:
    port = free_port()
    url = f"{way}://127.0.0.1:{port}"
    ports = {"http": 0, "grpc": 0} | {way: port}
    settings = ServerSettings(
        models=models_folder, default_model="tiny", http_port=ports["http"], grpc_port=ports["grpc"]
    )
    first_try = threading.Event()

    def blocks() -> Iterator[Particles]:
        yield some_particles(8)
        first_try.set()

    with (
        ThreadPoolExecutor(1) as pool,
        connect(url, ClientOptions(retry_seconds=60)) as client,
        ExitStack() as stack,
    ):
        future = pool.submit(lambda: concatenate(client.simulate(blocks(), seed=3)))
        assert first_try.wait(30)
        stack.enter_context(running(settings))
        result = future.result(60)
    assert len(result.row) == 8


@pytest.mark.parametrize("way", ["grpc", "http"])
def test_the_error_names_the_absent_server(way: str, caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    with (
        connect(f"{way}://127.0.0.1:{port}", ClientOptions(retry_seconds=0.2, rows_per_request=10)) as client,
        pytest.raises(NotReadyError, match=f"127.0.0.1:{port}.*is a server listening there"),
    ):
        list(client.simulate(some_particles(100)))
    (line,) = caplog.messages  # once, although several requests are in flight
    assert f"127.0.0.1:{port}" in line
    assert line.endswith("(trying again for 0.2 s)")


@pytest.mark.parametrize("way", ["grpc", "http"])
def test_closing_ends_requests_that_are_never_answered(way: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(1) as pool:
        client = connect(f"{way}://127.0.0.1:{silent.getsockname()[1]}", ClientOptions(timeout_seconds=3600))
        waiting = pool.submit(next, client.simulate(some_particles(1)))
        connection, _ = silent.accept()
        with connection:
            assert connection.recv(1)
            client.close()
            with pytest.raises(NotReadyError, match="the client was closed"):
                waiting.result(60)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8001", "grpc://localhost", "grpc://localhost:99999", "http://[::1", "ftp://a:1", "grpc://a:1/b"]
)
def test_wrong_addresses_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="must be grpc://host:port or http://host:port"):
        connect(url)


@pytest.mark.parametrize("way", WAYS)
def test_a_full_queue_is_retried(models_folder: Path, way: str) -> None:
    limits = {
        "models": models_folder,
        "default_model": "tiny",
        "max_request_rows": 64,
        "max_queue_rows": 64,
        "threads": 1,
        "max_batch_rows": 8,
    }
    particles = some_particles(640, seed=2)
    with running(ServerSettings(http_port=0, grpc_port=0, **limits)) as server:  # type: ignore[arg-type]
        settings = EngineSettings(**limits)  # type: ignore[arg-type]
        impatient = ClientOptions(rows_per_request=64, in_flight=8, timeout_seconds=1e-9)
        patient = ClientOptions(rows_per_request=64, in_flight=8)
        if way == "local":
            with connect(None, impatient, settings) as client, pytest.raises(OverloadedError):
                list(client.simulate(particles, seed=1))
        url = urls_of(server).get(way)
        with connect(url, patient, settings if url is None else None) as client:
            whole = concatenate(client.simulate(particles, seed=1))
    assert whole.row.tolist() == list(range(640))


def test_a_client_closes_while_requests_are_in_flight(client_with: Connect) -> None:
    client = client_with(rows_per_request=500, in_flight=4)
    chunks = client.simulate(some_particles(4000), seed=1)
    next(chunks)
    client.close()
    chunks.close()  # type: ignore[attr-defined]
