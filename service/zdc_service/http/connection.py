"""One HTTP connection: how long a caller may take, how much it may send, and how it ends."""

import asyncio
from dataclasses import dataclass
from enum import Enum
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from zdc_service.http.guard import refusal

#: Most bytes of a request's line and headers.
_HEAD_BYTES = 64 * 1024
#: Connections beyond the most that are allowed which still hear a refusal, or an answer to a probe.
_REFUSED_CONNECTIONS = 64
#: Routes that read a body complain about its size themselves, and better; this much later the connection does.
_BODY_SLACK = 1024 * 1024


class _Phase(Enum):
    """What a connection is about."""

    HEAD = 1  #: waits for a request's line and headers
    BODY = 2  #: waits for the rest of a request
    REST = 3  #: has a request whole: it is being answered, or was


@dataclass
class ConnectionRules:
    """What holds for all connections of a server.

    Attributes
    ----------
    max_connections, header_seconds, body_seconds, idle_seconds, body_limit : As `ServerSettings` has them.
    no_room : Answers on connections that are too many.
    closing : Whether answers say that the connection ends with them.
    """

    max_connections: int
    header_seconds: float
    body_seconds: float
    idle_seconds: float
    body_limit: int
    no_room: ASGIApp
    closing: bool = False

    @property
    def interval(self) -> float:
        """Seconds between two looks at a connection, which cost less than a timer for each request."""
        return min(1.0, min(self.header_seconds, self.body_seconds, self.idle_seconds) / 4)


class Sender:
    """ASGI's send of one request, which can also send a reply whole: one write, and no search for wrong headers."""

    def __init__(self, cycle: RequestResponseCycle):
        self._cycle = cycle
        self._send = cycle.send

    async def __call__(self, message: Message) -> None:
        """Send a part of the answer."""
        await self._send(message)  # type: ignore[arg-type]  # uvicorn has types of its own

    def whole(self, status: int, headers: list[tuple[bytes, bytes]], body: "bytes | memoryview[Any]") -> bool:
        """Send the answer; False, and nothing sent, where the caller reads too slowly to take it at once."""
        cycle = self._cycle
        if cycle.disconnected or cycle.response_started:  # nobody waits, or the connection has answered by itself
            return True
        if cycle.flow.write_paused:
            return False
        parts = [STATUS_LINE[status]]
        for name, value in (*cycle.default_headers, *headers):
            parts += (name, b": ", value, b"\r\n")
        parts.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
        cycle.response_started = cycle.response_complete = True
        cycle.transport.write(b"".join([*parts, body]))
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
        return True


class HttpConnection(HttpToolsProtocol):
    """uvicorn's protocol, which by itself waits for a request as long as the caller likes."""

    def __init__(self, config: uvicorn.Config, state: ServerState, rules: ConnectionRules):
        super().__init__(config, state, {})
        self._rules = rules
        self._phase = _Phase.HEAD
        self._since = self.loop.time()
        self._received = 0  # bytes of a request that is not whole yet
        self._unsent, self._unsent_since = 0, self._since  # bytes that the caller has not taken

    @property
    def idle(self) -> bool:
        """Whether nothing of a request has arrived that is not answered."""
        if self._phase is _Phase.REST:
            return self.cycle is None or self.cycle.response_complete
        return self._received == 0

    def look(self, now: float) -> None:
        """Close the connection if its caller takes too long; `now` on the loop's clock."""
        rules = self._rules
        unsent = self.transport.get_write_buffer_size()
        if unsent != self._unsent:
            self._unsent, self._unsent_since = unsent, now
        elif unsent and now - self._unsent_since > rules.body_seconds:
            self.transport.abort()  # the caller does not read; closing would wait for it
        if unsent or self.transport.is_closing():
            return
        answering = self.cycle is not None and not self.cycle.response_complete
        if self.flow.read_paused or (answering and self._phase is not _Phase.BODY):
            self._since = now  # it waits for us
            return
        if self._phase is _Phase.REST:
            if now - self._since > rules.idle_seconds:
                self.transport.close()
            return
        part, seconds = ("head", rules.header_seconds) if self._phase is _Phase.HEAD else ("body", rules.body_seconds)
        if now - self._since > seconds:
            if self.idle:
                self.transport.close()
            else:
                self._refuse(408, "timeout", f"the {part} of the request did not arrive within {seconds:g} s")
                self.transport.close()

    def finish(self) -> None:
        """Let the answer under way be the last; one that has begun cannot say so any more."""
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Count the connection."""
        super().connection_made(transport)
        surplus = len(self.connections) - self._rules.max_connections
        if surplus > 0:
            self.app = self._rules.no_room
        if surplus > _REFUSED_CONNECTIONS:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and keep account of requests that are not whole yet."""
        if self._phase is _Phase.REST:
            self._phase, self._since, self._received = _Phase.HEAD, self.loop.time(), 0
        super().data_received(data)
        if self._phase is _Phase.REST:
            return
        self._received += len(data)
        if self._phase is _Phase.HEAD:
            if self._received > _HEAD_BYTES:
                self._refuse(431, "too_large", f"the head of the request is above {_HEAD_BYTES} bytes")
                self.transport.close()
        elif self._received > self._rules.body_limit + _BODY_SLACK:
            self._refuse(413, "too_large", f"the body is above {self._rules.body_limit} bytes")
            # What still comes is thrown away, or the caller, still sending, would never read the refusal.

    def on_headers_complete(self) -> None:
        """Start to answer."""
        self._phase = _Phase.BODY
        super().on_headers_complete()
        self.cycle.send = Sender(self.cycle)  # type: ignore[method-assign, assignment]
        if self._rules.closing or self.app is self._rules.no_room:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """Know that the request is whole."""
        self._phase = _Phase.REST
        super().on_message_complete()
        if self.cycle.disconnected:
            self.transport.close()

    def on_response_complete(self) -> None:
        """Go on with the next request; unlike in uvicorn `look` does what would take a timer for each response."""
        if not self.transport.is_closing():
            self.flow.resume_reading()
            if self.pipeline:
                self._start_asgi_task(*self.pipeline.pop())

    def _refuse(self, status: int, kind: str, message: str) -> None:
        """Answer in place of the application, unless it has begun to; within another answer, close."""
        cycle = self.cycle if self._phase is _Phase.BODY else None
        if self.pipeline or (cycle is None and self.cycle is not None and not self.cycle.response_complete):
            self.transport.abort()
            return
        if cycle is None:
            path = ""
        elif cycle.response_started:
            return
        else:
            path = cycle.scope["path"]
            cycle.response_started = cycle.response_complete = cycle.disconnected = True
            cycle.message_event.set()  # the application learns that nobody waits
            self.flow.resume_reading()
        reply = refusal(path, status, kind, message)
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(reply.body)
        self.transport.write(STATUS_LINE[status] + head + reply.body)
