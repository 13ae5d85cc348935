"""The Python clients with truncated or invalid replies: an error, never fewer rows."""

import asyncio
import gzip
import http.client
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import zstandard
from helpers.models.tiny_model import some_particles
from helpers.servers.altered_replies import BROKEN, Elsewhere, N, put, serving_elsewhere
from helpers.servers.running_server import RunningServer
from zdc_service.client import Chunk, ClientOptions, NotReadyError, ZdcError, connect, connect_async
from zdc_service.simulating.simulator import Simulator

PARTICLES = some_particles(N)


def run_sync(url: str, **job: Any) -> Chunk:
    with connect(url, ClientOptions(retry_seconds=0)) as client:
        return client.run(PARTICLES, seed=7, **job)


def run_async(url: str, **job: Any) -> Chunk:
    async def asked() -> Chunk:
        async with connect_async(url, ClientOptions(retry_seconds=0)) as client:
            return await client.run(PARTICLES, seed=7, **job)

    return asyncio.run(asked())


Run = Callable[..., Chunk]
both = pytest.mark.parametrize("run", [run_sync, run_async])


@pytest.fixture(scope="module")
def elsewhere(simulator: Simulator) -> Iterator[tuple[str, Elsewhere]]:
    with serving_elsewhere(simulator) as serving:
        yield serving


@both
@pytest.mark.parametrize(("output", "field", "value"), [broken[:3] for broken in BROKEN])
def test_replies_over_grpc(elsewhere: tuple[str, Elsewhere], run: Run, output: str, field: str, value: object) -> None:
    url, handler = elsewhere
    handler.change = put(field, value)
    with pytest.raises(ZdcError, match="the reply is truncated or invalid: ") as caught:
        run(url, output=output)
    assert type(caught.value) is ZdcError
    handler.change = lambda _: None
    assert len(run(url, output=output).row) == N


Body = Callable[[bytes], bytes]


class Between(BaseHTTPRequestHandler):
    """Forwards requests, and sends the replies as `change` alters them, with a matching Content-Length."""

    upstream: str
    coding: str | None
    change: Body

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        connection = http.client.HTTPConnection(self.upstream)
        connection.request("POST", self.path, body, dict(self.headers))
        reply = connection.getresponse()
        answer = type(self).change(reply.read())
        connection.close()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            if name.lower() not in ("content-length", "content-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        if self.coding is not None:
            self.send_header("Content-Encoding", self.coding)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def between(server: RunningServer) -> Iterator[Callable[[str | None, Body], str]]:
    """A function that starts a proxy which alters replies, and returns its address."""
    running: list[ThreadingHTTPServer] = []

    def begin(coding: str | None, change: Body) -> str:
        upstream = server.http.removeprefix("http://")
        names = {"upstream": upstream, "coding": coding, "change": staticmethod(change)}
        running.append(ThreadingHTTPServer(("127.0.0.1", 0), type("Changing", (Between,), names)))
        threading.Thread(target=running[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{running[-1].server_port}"

    yield begin
    for one in running:
        one.shutdown()
        one.server_close()


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def zstd_without_size(data: bytes) -> bytes:
    writer = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    return writer.compress(data) + writer.flush()


CUT: list[tuple[str | None, Body]] = [
    (None, lambda data: data[:-1]),
    (None, lambda data: data[:-4000]),
    (None, lambda data: data[:0]),
    (None, lambda data: data + b"x"),
    ("zstd", lambda data: zstd(data)[:-1]),
    ("zstd", lambda data: zstd(data)[:-40]),
    ("zstd", lambda data: zstd_without_size(data)[:-5]),
    ("zstd", lambda data: zstd(data[: len(data) // 2])),
    ("zstd", lambda data: zstd(data) + b"junk"),
    ("gzip", lambda data: gzip.compress(data)[: len(data) // 100]),
    ("gzip", lambda data: gzip.compress(data[:-8])),
]


@both
@pytest.mark.parametrize("output", ["channels", "response", "hits"])
@pytest.mark.parametrize(("coding", "change"), CUT)
def test_replies_over_http(
    between: Callable[[str | None, Body], str], run: Run, coding: str | None, change: Body, output: str
) -> None:
    url = between(coding, change)
    with pytest.raises(ZdcError, match=r"truncated or invalid|cannot be read") as caught:
        run(url, output=output)
    assert not isinstance(caught.value, NotReadyError)


@both
@pytest.mark.parametrize(("coding", "whole"), [("zstd", zstd), ("zstd", zstd_without_size), ("gzip", gzip.compress)])
def test_complete_replies_are_accepted(
    between: Callable[[str | None, Body], str], run: Run, coding: str, whole: Body
) -> None:
    assert len(run(between(coding, whole)).row) == N
