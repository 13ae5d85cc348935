"""Addresses, certificates and tokens of the C++ client."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import grpc
import pytest
from helpers.callers.cpp_build import PARTICLES, TINY, Answer, BuiltClient, assert_channels, built_client, needs_tools
from helpers.models.tiny_model import some_particles
from helpers.servers.certificates import Authority
from helpers.servers.running_server import RunningServer, running
from zdc_service.simulating.simulator import Simulator

pytestmark = [pytest.mark.slow, needs_tools]

NOBODY = "grpc://127.0.0.1:1"
TOKEN, OTHER = "alice-0123456789abcdef", "bob-0123456789abcdef"


@pytest.fixture(scope="module")
def cpp(tmp_path_factory: pytest.TempPathFactory) -> BuiltClient:
    return built_client(tmp_path_factory)


def test_errors_that_a_retry_cannot_fix_are_raised_at_once(cpp: BuiltClient, server: RunningServer) -> None:
    for address, remedy in (
        (server.http.replace("http", "grpc"), "this port does not speak gRPC; HTTP and gRPC have different ports"),
        (f"grpcs://{server.grpc}", "this port does not speak TLS; use another port, or an address with grpc://"),
    ):
        said = cpp.call(address, only_model=1, max_attempts=1000).said
        assert (said["error"], said["kind"]) == ("ConfigError", "config")
        assert said["message"].startswith(f"{address}: ")
        assert said["message"].endswith(f"; {remedy}")


def test_a_server_that_requires_tls_is_recognized(cpp: BuiltClient, guarded: str) -> None:
    address = guarded.replace("grpcs", "grpc")
    said = cpp.call(address, only_model=1, max_attempts=1000).said
    assert (said["error"], said["kind"]) == ("ConfigError", "config")
    assert said["message"].endswith("; this port speaks TLS; use grpcs in the address")


def test_the_error_names_the_proxy(cpp: BuiltClient, server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("grpc_proxy", "http://me:secret@127.0.0.1:1")
    said = cpp.call("grpc://zdc.example:8001", only_model=1, max_attempts=1).said
    assert (said["error"], said["code"]) == ("NotReadyError", "14")
    assert said["message"].endswith(
        "; requests go through the proxy http://...@127.0.0.1:1 (grpc_proxy): check that it is up and reaches the "
        "server, or set no_proxy=zdc.example to connect without it"
    )
    for address in (f"grpc://{server.grpc}", f"grpc://{server.grpc.replace('127.0.0.1', 'localhost')}"):
        assert "error" not in cpp.call(address, only_model=1).said
    monkeypatch.setenv("no_proxy", "other, example")
    said = cpp.call("grpc://zdc.example:8001", only_model=1, max_attempts=1).said
    assert said["message"].endswith("is a server listening there?")


class Doorkeeper(grpc.GenericRpcHandler):
    """A proxy that refuses calls itself, without an error in this project's format."""

    def service(self, _details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        return grpc.stream_stream_rpc_method_handler(self.refuse)

    def refuse(self, _requests: Iterator[bytes], context: grpc.ServicerContext) -> NoReturn:
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")


def test_a_refusal_of_a_proxy_has_our_class(cpp: BuiltClient, models_folder: Path) -> None:
    door = grpc.server(ThreadPoolExecutor(1), [Doorkeeper()])
    address = f"grpc://127.0.0.1:{door.add_insecure_port('127.0.0.1:0')}"
    door.start()
    said = cpp.call(address, PARTICLES, **TINY).said
    door.stop(None).wait()
    assert (said["error"], said["message"]) == ("UnauthenticatedError", f"{address}: who are you?")
    with running(models_folder, max_body_bytes=2000) as server:  # gRPC's own word
        said = cpp.call(f"grpc://{server.grpc}", some_particles(100), **TINY).said
    assert (said["error"], said["code"], said["kind"]) == ("TooLargeError", "8", "too_large")
    assert said["message"].endswith("; set a smaller rows_per_request")


def test_a_host_name_is_never_a_unix_socket(cpp: BuiltClient) -> None:
    said = cpp.call("grpc://unix:8001", only_model=1, max_attempts=1).said  # gRPC would open a Unix socket
    assert said["error"] == "NotReadyError"
    assert "DNS resolution failed" in said["message"]


def test_ipv6_addresses_are_accepted(cpp: BuiltClient, models_folder: Path) -> None:
    with socket.socket(socket.AF_INET6) as socket6:
        try:
            socket6.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 here")
    with running(models_folder, host="::1") as server:
        said = cpp.call(f"grpc://[::1]:{server.server.grpc_port}", only_model=1).said
    assert said["name"] == "tiny"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def guarded(models_folder: Path, authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server on localhost that requires a client certificate and a token."""
    folder = tmp_path_factory.mktemp("guarded")
    pair = authority.server(folder, "localhost")
    (folder / "tokens").write_text(f"{TOKEN}\n")
    options = {"tls_certificate": pair.certificate, "tls_key": pair.key, "tls_client_ca": authority.file}
    with running(models_folder, token_files=[folder / "tokens"], management_port=0, **options) as server:
        yield f"grpcs://localhost:{server.server.grpc_port}"


Show = Callable[..., Answer]


@pytest.fixture
def show(cpp: BuiltClient, guarded: str, authority: Authority, tmp_path: Path) -> Show:
    """A function that makes a call with all required credentials, except those that the test replaces."""
    pair = authority.client(tmp_path)
    papers = {"ca_file": authority.file, "client_certificate": pair.certificate, "client_key": pair.key, "token": TOKEN}

    def call(address: str = guarded, **others: object) -> Answer:
        settings = {name: value for name, value in {**papers, **others}.items() if value is not None}
        return cpp.call(address, PARTICLES, output="channels", seed=7, max_attempts=2, **TINY, **settings)

    return call


def test_a_client_with_certificate_and_token_is_accepted(
    show: Show, simulator: Simulator, tmp_path: Path, guarded: str
) -> None:
    assert_channels(show(), simulator)
    (tmp_path / "token").write_text(f"# mine\n\n{TOKEN} # until spring\n")
    assert_channels(show(token=None, token_file=tmp_path / "token"), simulator)
    assert_channels(show(guarded.replace("localhost", "127.0.0.1"), server_name="localhost"), simulator)


def test_invalid_credentials_are_refused(show: Show, guarded: str, tmp_path: Path) -> None:
    for token, words in ((OTHER, "this server does not know the token"), (None, "send Authorization: Bearer")):
        said = show(token=token).said
        assert (said["error"], said["code"], said["kind"]) == ("UnauthenticatedError", "16", "unauthenticated")
        assert words in said["message"]
    began = time.monotonic()
    stranger = Authority(tmp_path, "stranger")
    for wrong in (
        {"ca_file": stranger.file},
        {"ca_file": None},
        {"address": guarded.replace("localhost", "127.0.0.1")},
    ):
        said = show(**wrong).said
        assert said["error"] == "ConfigError", said
        assert "check that ca_file has the authority of the server's certificate" in said["message"]
    pair = stranger.client(tmp_path)
    for wrong in (
        {"client_certificate": pair.certificate, "client_key": pair.key},
        {"client_certificate": None, "client_key": None},
    ):
        said = show(**wrong).said
        assert (said["error"], said["code"]) == ("NotReadyError", "14")
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"address": "127.0.0.1:8001"}, "address '127.0.0.1:8001' must be grpc://host:port"),
        ({"address": "grpc://localhost"}, "address 'grpc://localhost' must be grpc://host:port"),
        ({"address": "grpc://:8001"}, "address 'grpc://:8001' must be grpc://host:port"),
        ({"address": "grpcs://a:b"}, "address 'grpcs://a:b' must be grpc://host:port"),
        ({"address": "grpcs://a:80001"}, "address 'grpcs://a:80001' must be grpc://host:port"),
        ({"address": "grpcs://a:0"}, "address 'grpcs://a:0' must be grpc://host:port"),
        ({"address": "grpcs://::1:8001"}, "address 'grpcs://::1:8001' must be grpc://host:port"),
        ({"address": "grpcs://me@a/b:8001"}, "address 'grpcs://me@a/b:8001' must be grpc://host:port"),
        ({"address": "dns://a:8001"}, "with a port from 1 to 65535"),
        ({"address": "dns://1.1.1.1/a:65536"}, "with a port from 1 to 65535"),
        ({"address": NOBODY}, " requires TLS; use an address with grpcs://"),
        ({"client_key": None}, "client_certificate and client_key need each other"),
        ({"ca_file": "/nowhere"}, "ca_file = '/nowhere' cannot be read: No such file or directory"),
        ({"ca_file": "/dev/null"}, "ca_file = '/dev/null' has no PEM block"),
        ({"ca_file": "/"}, "ca_file = '/' cannot be read: Is a directory"),
        ({"ca_file": "KEY"}, "has no PEM block of a certificate (-----BEGIN ... CERTIFICATE-----), but another kind"),
        ({"client_certificate": "KEY"}, "has no PEM block of a certificate"),
        ({"client_key": "CERTIFICATE"}, "has no PEM block of a private key"),
        ({"client_key": "LOCKED"}, "has a passphrase; give a key without one"),
        ({"ca_file": "DAMAGED"}, "gRPC cannot use the files; check that ca_file has certificates"),
        ({"token": "a b"}, "token has no valid bearer token"),
        ({"token": None, "token_file": "/dev/null"}, "token_file = '/dev/null' has no"),
        ({"token_file": "/dev/null"}, "token and token_file exclude each other"),
        ({"rows_per_request": 0}, "rows_per_request = 0 must be at least 1"),
        ({"in_flight": 0}, "in_flight = 0 must be at least 1"),
        ({"initial_backoff_ms": 7000}, "must be at least 1 and at most max_backoff_ms = 5000"),
        ({"keepalive_ms": 10}, "keepalive_ms = 10 must be 0, or from 1000 to 86400000 (a day)"),
    ],
)
def test_invalid_options_are_refused(
    show: Show, authority: Authority, tmp_path: Path, wrong: dict[str, object], message: str
) -> None:
    pair = authority.client(tmp_path)
    files = {"KEY": pair.key, "CERTIFICATE": pair.certificate, "LOCKED": tmp_path / "x", "DAMAGED": tmp_path / "y"}
    files["LOCKED"].write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
    files["DAMAGED"].write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    said = show(**{name: files.get(str(value), value) for name, value in wrong.items()}).said
    assert (said["error"], said["kind"]) == ("ConfigError", "config")
    assert said["code"] == ("14" if wrong.get("ca_file") == "DAMAGED" else "3")
    assert message in said["message"]
