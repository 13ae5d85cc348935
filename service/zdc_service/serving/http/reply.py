"""An HTTP reply, to be sent through FastAPI or directly."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from fastapi import Response
from starlette.types import Send

from zdc_service.telemetry.statistics import Timing

SERVER_TIMING = "Server-Timing"


@lru_cache(maxsize=256)
def _on_the_wire(name: str) -> bytes:
    """A header's name in the form that ASGI needs."""
    return name.lower().encode("latin-1")


def server_timing(timing: Timing, encode_seconds: float) -> str:
    """The value of the header `SERVER_TIMING`: duration of each stage of a request in milliseconds, in order."""
    queue, prepare, model, finish = timing
    return (
        f"queue;dur={1e3 * queue:.3f}, prepare;dur={1e3 * prepare:.3f}, model;dur={1e3 * model:.3f}, "
        f"finish;dur={1e3 * finish:.3f}, encode;dur={1e3 * encode_seconds:.3f}"
    )


@dataclass(frozen=True)
class Reply:
    """Status, body and headers."""

    status: int
    body: "bytes | memoryview[Any]" = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        """The reply as a FastAPI response."""
        return Response(bytes(self.body), self.status, dict(self.headers))

    def wire_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers in the form that ASGI needs, with Content-Length."""
        headers = [(_on_the_wire(name), value.encode("latin-1")) for name, value in self.headers.items()]
        headers.append((b"content-length", b"%d" % len(self.body)))
        return headers

    async def send(self, send: Send) -> None:
        """Send the reply in one call if `send` is a `transport.cycle.Cycle` that can take it, else as ASGI messages."""
        headers = self.wire_headers()
        whole = getattr(send, "whole", None)
        if whole is not None and whole(self.status, headers, self.body):
            return
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})
