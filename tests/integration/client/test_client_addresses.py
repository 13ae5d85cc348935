"""The servers that an address leads to, and the errors for addresses of other servers."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.models.tiny_model import some_particles
from helpers.servers.certificates import Authority
from helpers.servers.cut_wire import wire_to
from helpers.servers.name_server import resolving
from helpers.servers.running_server import RunningServer, running
from zdc_service.client import Chunk, ClientOptions, ConfigError, NotReadyError, Particles, connect, connect_async

PARTICLES = some_particles(8)
Blocks = Callable[[], Iterator[Particles]]


def once() -> Iterator[Particles]:
    yield PARTICLES


def run_sync(url: str, blocks: Blocks = once, **options: Any) -> Chunk:
    with connect(url, ClientOptions(**options)) as client:
        return client.run(blocks(), seed=1, model="tiny", version=1)


def run_async(url: str, blocks: Blocks = once, **options: Any) -> Chunk:
    async def job() -> Chunk:
        async with connect_async(url, ClientOptions(**options)) as client:
            return await client.run(blocks(), seed=1, model="tiny", version=1)

    return asyncio.run(job())


Run = Callable[..., Chunk]
both = pytest.mark.parametrize("run", [run_sync, run_async])


def rows(server: RunningServer) -> float:
    labels = {"model": "tiny", "version": "1"}
    return server.server.simulator.instruments.registry.get_sample_value("zdc_rows_total", labels) or 0.0


@pytest.fixture(scope="module")
def two_servers(models_folder: Path) -> Iterator[tuple[RunningServer, RunningServer, str]]:
    """Two servers on two addresses of one host name, and that name."""
    with running(models_folder) as first:
        port = first.server.grpc_port
        try:
            socket.create_server(("127.0.0.2", port)).close()
        except OSError:
            pytest.skip("127.0.0.2 is no address here, or its port is taken")
        with (
            running(models_folder, host="127.0.0.2", grpc_port=port) as second,
            resolving(["127.0.0.1", "127.0.0.2"]) as resolver,
        ):
            yield first, second, f"dns://{resolver}/zdc.example:{port}"


@both
def test_requests_are_distributed_over_all_addresses_of_a_name(
    two_servers: tuple[RunningServer, RunningServer, str], server: RunningServer, run: Run
) -> None:
    first, second, url = two_servers
    before = rows(first), rows(second)
    found = run(url, rows_per_request=1, in_flight=1)
    shares = rows(first) - before[0], rows(second) - before[1]
    assert sum(shares) == len(PARTICLES)
    assert min(shares) >= 3
    assert (found.channels == run(f"grpc://{server.grpc}").channels).all()


@both
def test_an_address_in_the_form_of_grpc_is_accepted(server: RunningServer, run: Run) -> None:
    assert len(run(f"dns:///{server.grpc}").row) == len(PARTICLES)


@pytest.mark.parametrize(
    "wrong",
    [
        "grpc://localhost:70000", "http://localhost:65536", "grpc://localhost:0", "https://localhost:0", "dns://8.8.8.8",
        "dns:///zdc", "dns://a b/zdc:8001", "dns:///zdc:0", "grpc://zdc:-1",
    ],
)  # fmt: skip
def test_invalid_ports_and_names_are_refused_at_once(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"must be grpc://host:port.*a port from 1 to 65535"):
        connect(wrong)


@pytest.fixture(scope="module")
def secured(models_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningServer, Path]]:
    """A server with TLS, and the file with its certificate authority."""
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    pair = authority.server(folder)
    with running(models_folder, tls_certificate=pair.certificate, tls_key=pair.key) as server:
        yield server, authority.file


@both
@pytest.mark.parametrize(
    ("scheme", "port", "said"),
    [
        ("grpc", "grpc", "this port speaks TLS; use grpcs in the address"),
        ("grpc", "http", "this port speaks TLS; use grpcs in the address"),
        ("http", "http", "this port speaks TLS; use https in the address"),
        ("http", "grpc", "this port speaks TLS; use https in the address"),
        ("grpcs", "http", "this port does not speak gRPC; HTTP and gRPC have different ports"),
        ("https", "grpc", "this port does not speak HTTP; HTTP and gRPC have different ports"),
    ],
)
def test_a_server_with_tls_is_recognized_at_once(
    secured: tuple[RunningServer, Path], run: Run, scheme: str, port: str, said: str
) -> None:
    server, ca_file = secured
    number = server.server.grpc_port if port == "grpc" else int(server.http.rpartition(":")[2])
    trusted = {"ca_file": ca_file} if scheme.endswith("s") else {}
    began = time.monotonic()
    with pytest.raises(ConfigError, match=said):
        run(f"{scheme}://localhost:{number}", retry_seconds=60, **trusted)
    assert time.monotonic() - began < 30


@both
def test_pings_detect_a_server_that_has_vanished(server: RunningServer, run: Run) -> None:
    with wire_to(server.grpc) as wire:
        assert len(run(f"grpc://{wire.address}").row) == len(PARTICLES)

        def blocks() -> Iterator[Particles]:
            yield PARTICLES
            wire.cut()
            yield PARTICLES

        with pytest.raises(NotReadyError, match=r"[Pp]ing timeout|keepalive"):
            run(f"grpc://{wire.address}", blocks, in_flight=1, keepalive_seconds=1, retry_seconds=0, timeout_seconds=60)
