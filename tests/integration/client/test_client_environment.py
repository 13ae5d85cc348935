"""Proxies from environment variables: which of them clients use, and how errors name them."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from helpers.callers.client_calls import PARTICLES, Run, both
from helpers.servers.running_server import RunningServer
from zdc_service.client import ConfigError, ForbiddenError, NotReadyError
from zdc_service.client.proxies import grpc_proxy, http_proxy

NAMES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy", "no_proxy", "no_grpc_proxy")
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that sets these variables, and unsets all others that name proxies."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

    def change(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return change


@pytest.fixture
def refusing() -> Iterator[str]:
    """Address of a proxy that answers every request with 403."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def refuse() -> None:
            with suppress(OSError):
                while True:
                    caller, _ = listening.accept()
                    with caller, suppress(OSError):
                        caller.settimeout(10)
                        request = b""
                        while b"\r\n\r\n" not in request:
                            request += caller.recv(65536)
                        caller.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@both
@pytest.mark.parametrize("way", ["http", "grpc"])
@pytest.mark.parametrize("proxy", [NOWHERE, "socks5://127.0.0.1:1", "no proxy"])
def test_a_server_on_this_machine_is_reached_without_a_proxy(
    server: RunningServer, environment: Callable[..., None], run: Run, way: str, proxy: str
) -> None:
    environment(**dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "grpc_proxy"), proxy))
    url = server.http if way == "http" else f"grpc://{server.grpc}"
    assert len(run(url).row) == len(PARTICLES)
    assert len(run(url.replace("127.0.0.1", "localhost")).row) == len(PARTICLES)


@both
@pytest.mark.parametrize(
    ("url", "variable"),
    [
        ("http://zdc.example:8000", "http_proxy"),
        ("http://zdc.example:8000", "HTTP_PROXY"),
        ("http://zdc.example:8000", "ALL_PROXY"),
        ("https://zdc.example:8000", "https_proxy"),
        ("https://zdc.example:8000", "all_proxy"),
        ("grpc://zdc.example:8001", "grpc_proxy"),
        ("grpc://zdc.example:8001", "https_proxy"),
        ("grpcs://zdc.example:8001", "http_proxy"),
    ],
)
def test_the_error_names_a_proxy_that_is_down(
    environment: Callable[..., None], run: Run, url: str, variable: str
) -> None:
    environment(**{variable: "http://me:secret@127.0.0.1:1"})
    with pytest.raises(NotReadyError) as caught:
        run(url, retry_seconds=0)
    said = str(caught.value)
    assert said.startswith(f"{url}: ")
    assert f"requests go through the proxy http://...@127.0.0.1:1 ({variable})" in said
    assert said.endswith(
        "check that it is up and reaches the server, or set no_proxy=zdc.example to connect without it"
    )
    assert "secret" not in said


@both
@pytest.mark.parametrize("url", ["http://zdc.example:8000", "https://zdc.example:8000", "grpc://zdc.example:8001"])
def test_the_error_names_a_proxy_that_refuses(
    environment: Callable[..., None], refusing: str, run: Run, url: str
) -> None:
    environment(http_proxy=refusing, https_proxy=refusing)
    with pytest.raises((ForbiddenError, NotReadyError), match=rf"403.*requests go through the proxy {refusing}"):
        run(url, retry_seconds=0)


@both
def test_an_unusable_proxy_is_a_clear_error(environment: Callable[..., None], run: Run) -> None:
    environment(all_proxy="socks5://127.0.0.1:1")
    with pytest.raises(ConfigError, match=r"socks5://127.0.0.1:1 \(all_proxy\).*httpx\[socks\].*no_proxy=zdc.example"):
        run("http://zdc.example:8000")
    environment(all_proxy="ftp://127.0.0.1:1")
    with pytest.raises(
        ConfigError, match=r"ftp://127.0.0.1:1 \(all_proxy\), which is not a valid address: Unknown scheme"
    ):
        run("http://zdc.example:8000")
    environment(no_proxy="zdc.example")
    with pytest.raises(NotReadyError, match="is a server listening there"):
        run("http://zdc.example:8000", retry_seconds=0)


@pytest.mark.parametrize(
    ("host", "no_proxy", "used"),
    [
        ("zdc.cern.ch", "", True),
        ("zdc.cern.ch", "cern.ch", False),
        ("zdc.cern.ch", ".cern.ch", False),
        ("zdc.cern.ch", "*.cern.ch", False),
        ("ZDC.cern.ch", "x, Zdc.CERN.ch ,y", False),
        ("zdc.cern.ch", "n.ch", True),
        ("zdc.cern.ch", "zdc.cern.ch:8000", False),
        ("zdc.cern.ch", "zdc.cern.ch:1", True),
        ("zdc.cern.ch", "*", False),
        ("10.1.2.3", "10.0.0.0/8", False),
        ("10.1.2.3", "10.1.2.4", True),
        ("[fd00::1]", "fd00::/16", False),
        ("127.0.0.2", "", False),
        ("[::1]", "", False),
        ("zdc.localhost", "", False),
    ],
)
def test_hosts_of_no_proxy_are_reached_without_a_proxy(
    environment: Callable[..., None], host: str, no_proxy: str, used: bool
) -> None:
    environment(http_proxy="127.0.0.1:3128", no_proxy=no_proxy, grpc_proxy="http://127.0.0.1:3129")
    over_http = http_proxy(f"http://{host}:8000")
    assert (over_http is not None) is used
    assert (grpc_proxy(host.strip("[]"), 8000) is not None) is used
    if over_http is not None:
        assert over_http.url == "http://127.0.0.1:3128"
