"""TLS and mutual TLS of both protocols, with certificates that change."""

import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from helpers.models.tiny_model import some_particles
from helpers.servers.certificates import Authority, Pair
from helpers.servers.running_server import RunningServer
from zdc_common.errors import ConfigError, NotReadyError
from zdc_service.client import ClientOptions, concatenate, connect
from zdc_service.serving.server import Server
from zdc_service.settings import ServerSettings

PROTOCOLS = ["https", "grpcs"]
PARTICLES = some_particles(5)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def settings(models_folder: Path, pair: Pair, **options: Any) -> ServerSettings:
    return ServerSettings(
        models=models_folder, default_model="tiny", http_port=0, grpc_port=0, threads=1,
        tls_certificate=pair.certificate, tls_key=pair.key, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def secure(models_folder: Path, authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pair = authority.server(tmp_path_factory.mktemp("server"), "localhost")
    running = RunningServer(settings(models_folder, pair))
    yield running.server
    running.stop()


@pytest.fixture(scope="module")
def mutual(models_folder: Path, authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pair = authority.server(tmp_path_factory.mktemp("mutual"))
    running = RunningServer(settings(models_folder, pair, tls_client_ca=authority.file, management_port=0))
    yield running.server
    running.stop()


def address(server: Server, scheme: str, host: str = "localhost") -> str:
    return f"{scheme}://{host}:{server.grpc_port if 'grpc' in scheme else server.http_port}"


def rows(server: Server, scheme: str, host: str = "localhost", **options: Any) -> int:
    with connect(address(server, scheme, host), ClientOptions(retry_seconds=0.0, **options)) as client:
        return len(concatenate(client.simulate(PARTICLES, seed=1)).row)


def test_both_protocols_give_the_same_bytes(secure: Server, server: RunningServer, authority: Authority) -> None:
    with connect(f"grpc://{server.grpc}") as client:
        expected = concatenate(client.simulate(PARTICLES, seed=1))
    for scheme in PROTOCOLS:
        with connect(address(secure, scheme), ClientOptions(ca_file=authority.file)) as client:
            found = concatenate(client.simulate(PARTICLES, seed=1))
        np.testing.assert_array_equal(found.response, expected.response)


@pytest.mark.parametrize("scheme", PROTOCOLS)
def test_an_untrusted_server_is_refused_at_once(secure: Server, scheme: str) -> None:
    began = time.monotonic()
    text = r"the server's certificate is not trusted: .*; give the signing authority with ca_file"
    with pytest.raises(ConfigError, match=text), connect(address(secure, scheme)) as client:
        list(client.simulate(PARTICLES))
    assert time.monotonic() - began < ClientOptions.retry_seconds


@pytest.mark.parametrize("scheme", PROTOCOLS)
def test_a_certificate_of_another_name_is_refused(secure: Server, authority: Authority, scheme: str) -> None:
    with pytest.raises(ConfigError, match="the server's certificate is not trusted"):
        rows(secure, scheme, "127.0.0.1", ca_file=authority.file)


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_plain_callers_are_not_served(secure: Server, scheme: str) -> None:
    with pytest.raises(ConfigError, match=f"this port speaks TLS; use {scheme}s in the address"):
        rows(secure, scheme)


@pytest.mark.parametrize("scheme", PROTOCOLS)
def test_mutual_tls(mutual: Server, authority: Authority, tmp_path: Path, scheme: str) -> None:
    pair = authority.client(tmp_path)
    identity: dict[str, Any] = {"client_certificate": pair.certificate, "client_key": pair.key}
    assert rows(mutual, scheme, ca_file=authority.file, **identity) == 5


@pytest.mark.parametrize("scheme", PROTOCOLS)
def test_mutual_tls_refuses_callers_without_a_certificate(mutual: Server, authority: Authority, scheme: str) -> None:
    with pytest.raises(NotReadyError, match="does it accept the client's certificate"):
        rows(mutual, scheme, ca_file=authority.file)


@pytest.mark.parametrize("scheme", PROTOCOLS)
def test_mutual_tls_refuses_a_strangers_certificate(
    mutual: Server, authority: Authority, tmp_path: Path, scheme: str
) -> None:
    pair = Authority(tmp_path, "stranger").client(tmp_path)
    with pytest.raises(NotReadyError, match="does it accept the client's certificate"):
        rows(mutual, scheme, ca_file=authority.file, client_certificate=pair.certificate, client_key=pair.key)


def test_probes_of_a_server_with_mutual_tls_use_the_management_port(mutual: Server) -> None:
    base = f"http://127.0.0.1:{mutual.management_port}"
    for path in ("/livez", "/readyz", "/metrics"):
        assert httpx.get(base + path).status_code == 200


@pytest.mark.parametrize("scheme", PROTOCOLS)
def test_a_new_certificate_is_taken_up_without_a_restart(
    models_folder: Path, authority: Authority, tmp_path: Path, scheme: str
) -> None:
    pair, successor = authority.server(tmp_path), Authority(tmp_path, "successor")
    running = RunningServer(settings(models_folder, pair))
    try:
        with connect(address(running.server, scheme), ClientOptions(ca_file=authority.file)) as early:
            list(early.simulate(PARTICLES))
            successor.server(tmp_path)
            wait_for(lambda: rows(running.server, scheme, ca_file=successor.file) == 5)
            with pytest.raises(ConfigError, match="not trusted"):
                rows(running.server, scheme, ca_file=authority.file)
            assert len(list(early.simulate(PARTICLES))) == 1  # its connection stays open
        authority.sign(Pair(pair.certificate, tmp_path / "elsewhere"), "localhost")  # the key is not renewed
        time.sleep(1.1)
        for _ in range(2):
            assert rows(running.server, scheme, ca_file=successor.file) == 5
    finally:
        running.stop()


def wait_for(condition: Any) -> None:
    until = time.monotonic() + 10
    while True:
        try:
            if condition():
                return
        except ConfigError:
            if time.monotonic() > until:
                raise
        time.sleep(0.1)


def test_a_handshake_has_its_time(models_folder: Path, authority: Authority, tmp_path: Path) -> None:
    running = RunningServer(settings(models_folder, authority.server(tmp_path), header_seconds=0.5))
    try:
        for port in (running.server.http_port, running.server.grpc_port):
            with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
                began = time.monotonic()
                assert connection.recv(1) == b""
                assert 0.3 < time.monotonic() - began < 20
    finally:
        running.stop()


def test_connections_that_callers_keep_do_not_hold_up_the_end(
    models_folder: Path, authority: Authority, tmp_path: Path
) -> None:
    running = RunningServer(settings(models_folder, authority.server(tmp_path)))
    with httpx.Client(verify=ssl.create_default_context(cafile=authority.file)) as client:
        assert client.get(f"https://localhost:{running.server.http_port}/livez").status_code == 200
        began = time.monotonic()
        running.stop()
        assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("url", "options", "text"),
    [
        ("http://localhost:1", {"ca_file": "ca.pem"}, "ca_file = 'ca.pem' requires TLS; use an address with"),
        ("grpcs://localhost:1", {"ca_file": "/none"}, "TLS file /none: No such file or directory"),
        ("https://localhost:1", {"client_key": "/none"}, "client_certificate and client_key need each other"),
        ("https://localhost", {"token_file": "/none"}, "token file /none: No such file or directory"),
    ],
)
def test_clients_name_what_is_wrong_with_their_files(url: str, options: dict[str, str], text: str) -> None:
    files: dict[str, Any] = {name: Path(path) for name, path in options.items()}
    with pytest.raises(ConfigError, match=text):
        connect(url, ClientOptions(**files))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_that_is_no_longer_trusted_cannot_resume_its_session(
    models_folder: Path, authority: Authority, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """For both protocols: an old session becomes invalid when its certificate authority is removed."""
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(authority.file.read_bytes())
    caller = authority.client(tmp_path)
    running = RunningServer(settings(models_folder, authority.server(tmp_path), tls_client_ca=trusted))
    try:
        contexts = {}
        for port, protocol in ((running.server.http_port, "http/1.1"), (running.server.grpc_port, "h2")):
            context = ssl.create_default_context(cafile=authority.file)
            context.load_cert_chain(caller.certificate, caller.key)
            context.set_alpn_protocols([protocol])
            context.maximum_version = version
            contexts[port] = context
        sessions = {port: session_of(context, port, None) for port, context in contexts.items()}
        trusted.write_bytes(Authority(tmp_path, "another").file.read_bytes())
        time.sleep(1.1)
        for port, context in contexts.items():
            with pytest.raises((ssl.SSLError, ConnectionError)):
                session_of(context, port, sessions[port])
    finally:
        running.stop()


def session_of(context: ssl.SSLContext, port: int, before: ssl.SSLSession | None) -> ssl.SSLSession | None:
    """The session of an accepted connection, which resumes an earlier one."""
    with (
        socket.create_connection(("localhost", port), timeout=20) as connection,
        context.wrap_socket(connection, server_hostname="localhost", session=before) as secured,
    ):
        settings_of_http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
        request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
        secured.sendall(settings_of_http2 if secured.selected_alpn_protocol() == "h2" else request)
        if not secured.recv(1):
            raise ConnectionResetError
        return secured.session
