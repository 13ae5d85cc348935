"""A receiver of OTLP over HTTP, for `integration/process/test_tracing.py`."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

TIMEOUT = 60


@dataclass(frozen=True)
class Received:
    """A received span, and its resource."""

    span: Span
    resource: dict[str, Any]

    @property
    def attributes(self) -> dict[str, Any]:
        return _values(self.span.attributes)

    @property
    def seconds(self) -> float:
        return (self.span.end_time_unix_nano - self.span.start_time_unix_nano) / 1e9


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


class Receiver:
    """The received spans; a body is added when it is complete."""

    def __init__(self, port: int):
        self.endpoint = f"http://127.0.0.1:{port}"
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self._spans: list[Received] = []
        self._arrived = threading.Condition()

    def add(self, path: str, headers: dict[str, str], body: bytes) -> None:
        message = ExportTraceServiceRequest.FromString(body)
        with self._arrived:
            self.paths.append(path)
            self.headers.append(headers)
            for of_resource in message.resource_spans:
                resource = _values(of_resource.resource.attributes)
                for scope in of_resource.scope_spans:
                    self._spans += [Received(span, resource) for span in scope.spans]
            self._arrived.notify_all()

    def spans(self) -> list[Received]:
        with self._arrived:
            return list(self._spans)

    def wait(self, wanted: Callable[[Received], bool], count: int = 1) -> list[Received]:
        """Wait for a number of matching spans, and return them."""
        deadline = time.monotonic() + TIMEOUT
        with self._arrived:
            while len(found := [one for one in self._spans if wanted(one)]) < count:
                assert self._arrived.wait(deadline - time.monotonic()), f"{len(found)} of {count} spans came"
        return found

    def children(self, parent: Received, count: int) -> list[Received]:
        """Wait for a number of child spans; returned in the order of their start."""
        found = self.wait(lambda one: one.span.parent_span_id == parent.span.span_id, count)
        return sorted(found, key=lambda one: (one.span.start_time_unix_nano, one.span.end_time_unix_nano))


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/x-protobuf"
            receiver.add(self.path, dict(self.headers), self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        receiver = Receiver(listening.server_port)
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield receiver
        listening.shutdown()
        thread.join()
