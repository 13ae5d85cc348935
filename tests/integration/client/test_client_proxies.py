"""The clients over HTTP behind proxies and at wrong addresses: real sockets, but not of our server."""

import gzip
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import zstandard
from helpers.callers.client_calls import Run, both
from helpers.files.same_results import assert_same
from helpers.servers.running_server import RunningServer
from zdc_service.client import (
    DeadlineError,
    ForbiddenError,
    NotReadyError,
    OverloadedError,
    TooLargeError,
    UnauthenticatedError,
    ZdcError,
)
from zdc_service.client.transports import http_client

#: Status, headers and body of replies that the proxy itself sends.
OWN = {
    "/page": (200, {"Content-Type": "text/html"}, b"<h1>Welcome</h1>"),
    "/moved": (308, {"Location": "https://elsewhere.example/simulate"}, b""),
    "/login": (401, {}, b"who are you?"),
    "/locked": (403, {}, b""),
    "/small": (413, {}, b""),
    "/full": (429, {"Retry-After": "7"}, b"{}"),
    "/absent": (502, {}, b"<h1>Bad Gateway</h1>"),
    "/late": (504, {}, b""),
}


#: Replies of a proxy that compresses them and loses the end.
CUTS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "/cut-gzip": ("gzip", lambda answer: gzip.compress(answer)[:-20]),
    "/cut-zstd": ("zstd", lambda answer: zstandard.compress(answer)[:-20]),
    "/cut-plain": ("identity", lambda answer: answer[:-20]),
    "/longer": ("identity", lambda answer: answer + b"more"),
}


class Proxy(BaseHTTPRequestHandler):
    """Forwards requests below ``/zdc``, truncates replies below ``/cut-...`` and sends only dots below ``/slow``."""

    protocol_version = "HTTP/1.1"
    upstream = ""
    seen: list[dict[str, str]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append(dict(self.headers))
        prefix = self.path.removesuffix("/simulate")
        if prefix == "/slow":
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b".")
                    time.sleep(0.02)
            except OSError:  # the caller has disconnected
                self.close_connection = True
            return
        status, headers, answer = OWN[prefix] if prefix in OWN else self._pass_on(body)
        if prefix in CUTS:
            coding, cut = CUTS[prefix]
            kept = {name: value for name, value in headers.items() if name.lower() != "content-length"}
            headers, answer = kept | {"Content-Encoding": coding}, cut(answer)
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(answer))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    def _pass_on(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.upstream)
        connection.request("POST", f"/{self.path.rpartition('/')[2]}", body, dict(self.headers))
        reply = connection.getresponse()
        answer = reply.read()
        connection.close()
        return reply.status, dict(reply.headers), answer

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def proxy(server: RunningServer) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Address of the proxy, and the headers of the requests that it received."""
    seen: list[dict[str, str]] = []
    handler = type("Passing", (Proxy,), {"upstream": server.http.removeprefix("http://"), "seen": seen})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}", seen
        serving.shutdown()
        thread.join()


@both
@pytest.mark.parametrize("prefix", ["/zdc", "/zdc/"])
def test_a_proxy_may_pass_requests_on_below_a_path(
    server: RunningServer, proxy: tuple[str, list[dict[str, str]]], run: Run, prefix: str
) -> None:
    url, seen = proxy
    found = run(url + prefix, rows_per_request=16, timeout_seconds=30)
    assert_same(found, run(server.http))
    assert {headers["X-Zdc-Timeout-Ms"] for headers in seen} == {"31000"}


@both
@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("/page", ZdcError, "the answer is text/html.*not a zdc-fastsim server"),
        ("/moved", ZdcError, "HTTP 308.*the server redirects to https://elsewhere.example"),
        ("/login", UnauthenticatedError, "HTTP 401"),
        ("/locked", ForbiddenError, "HTTP 403"),
        ("/small", TooLargeError, "HTTP 413"),
        ("/full", OverloadedError, "HTTP 429"),
        ("/absent", NotReadyError, "HTTP 502"),
        ("/late", DeadlineError, "HTTP 504"),
    ],
)
def test_errors_of_a_proxy_become_our_classes(
    proxy: tuple[str, list[dict[str, str]]], run: Run, path: str, error: type[ZdcError], message: str
) -> None:
    with pytest.raises(ZdcError, match=message) as caught:
        run(proxy[0] + path, timeout_seconds=5, retry_seconds=0)
    assert type(caught.value) is error
    assert caught.value.retry_after_seconds == (7.0 if path == "/full" else None)


@both
@pytest.mark.parametrize("prefix", CUTS)
def test_a_truncated_reply_is_an_error(proxy: tuple[str, list[dict[str, str]]], run: Run, prefix: str) -> None:
    """Otherwise particles would be missing: not every library checks the end of a gzip stream."""
    with pytest.raises(
        ZdcError, match=r"the reply is truncated or invalid: .*|the answer cannot be read: Zstandard data is"
    ):
        run(proxy[0] + prefix, timeout_seconds=5, retry_seconds=0)


@both
def test_the_deadline_ends_a_slow_reply(proxy: tuple[str, list[dict[str, str]]], run: Run) -> None:
    began = time.monotonic()
    with pytest.raises(DeadlineError, match=r"no answer within 0.3 s"):
        run(f"{proxy[0]}/slow", timeout_seconds=0.3)
    assert time.monotonic() - began < 10  # the whole reply would take hours


@both
def test_a_host_that_accepts_no_connection_is_not_ready(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "_CONNECT_SECONDS", 0.2)
    with socket.socket() as silent, ExitStack() as stack:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        for _ in range(3):  # fills the queue of connections; the kernel drops further ones
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(silent.getsockname())
        with pytest.raises(NotReadyError, match=r"no connection within 0.2 s; is a server listening there"):
            run(f"http://127.0.0.1:{silent.getsockname()[1]}", retry_seconds=0)
