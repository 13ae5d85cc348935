"""One request and its answer, with ASGI's `receive` and `send`."""

import asyncio
import logging
from http import HTTPStatus
from typing import Any, Protocol

from starlette.types import ASGIApp, Message, Scope

from zdc_service.serving.http.errors import error_reply
from zdc_service.serving.http.reply import Reply
from zdc_service.serving.http.transport.rules import ConnectionRules

log = logging.getLogger(__name__)

#: Bodies and answers up to this size are not counted in the budget; larger answers are written in pieces.
SMALL_BYTES = 64 * 1024
_PIECE_BYTES = 512 * 1024
#: First bytes of every answer.
_VERSION = b"HTTP/1.1 "
_STATUS_LINES = {status.value: b"HTTP/1.1 %d %s\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}

Headers = list[tuple[bytes, bytes]]


class Connection(Protocol):
    """The connection of a request, as the request uses it."""

    rules: ConnectionRules
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    write_paused: bool

    def steer(self) -> None:
        """Pause or continue to read, by how much of the body the application has received."""

    async def writable(self) -> None:
        """Wait until the client has read enough that more can be sent."""

    def answered(self, cycle: "Cycle") -> None:
        """Continue after the end of an answer."""


class Cycle:
    """A request, from its head to the end of its answer.

    Attributes
    ----------
    keep_alive : Whether the connection stays open after the answer.
    refusal : An answer to send instead of the application's.
    unread : Bytes of the body that the application has not received.
    size : Bytes of the body that have arrived.
    started, complete : Whether the answer has begun, and whether it is written completely.
    gone : Whether the client has disconnected or was refused, so that the application's answer is not needed.
    """

    def __init__(self, connection: Connection, scope: Scope, keep_alive: bool, expects_continue: bool = False):
        self._connection = connection
        self._scope = scope
        self.keep_alive = keep_alive
        self.refusal: Reply | None = None
        self.unread = self.size = 0
        self.started = self.complete = self.gone = False
        self._expects_continue = expects_continue
        self._parts: list[bytes] = []
        self._more, self._told_end = True, False
        self._waiter: asyncio.Future[None] | None = None
        self._held = 0  # bytes of the body in the budget
        self._head: tuple[int, Headers] | None = None  # goes out with the first bytes of the body
        self._chunked = False
        self._left: int | None = None  # bytes of the answer that are not written yet, if known
        self._probed = 0  # bytes of `_VERSION` that are already sent

    @property
    def path(self) -> str:
        """Path of the request."""
        return str(self._scope["path"])

    # Called by the connection.

    def start(self, app: ASGIApp) -> None:
        """Answer with the refusal if there is one, else run the application."""
        if self.refusal is not None:
            self.refuse(self.refusal)
            return
        tasks = self._connection.rules.tasks
        task = self._connection.loop.create_task(self._run(app))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def body(self, data: bytes) -> bool:
        """Take a part of the request's body; returns False if the budget has no room for it."""
        size = len(data)
        self.size += size
        if self.complete or self.gone:
            return True
        if self.size > SMALL_BYTES:
            if not self._connection.rules.budget.take(size):
                return False
            self._held += size
        self.unread += size
        self._parts.append(data)
        self._wake()
        return True

    def end(self) -> None:
        """Note that the request is complete."""
        self._more = False
        self._wake()

    def hang_up(self) -> None:
        """Note that the client has disconnected."""
        self.gone = True
        self._release()
        self._wake()

    def cut_off(self) -> None:
        """Close the connection at once."""
        self._connection.transport.abort()

    def refuse(self, reply: Reply) -> None:
        """Answer instead of the application, which gets a disconnect event, and close the connection."""
        self.keep_alive = False
        self.refusal = reply
        self.gone = True
        self._write_small(reply.status, reply.wire_headers(), reply.body)
        self._finish()

    def probe(self) -> bool:
        """Send one byte of `_VERSION`, with which every answer begins; returns whether more of them can be sent.

        Only by sending something can the server distinguish a client that has disconnected from one that has only
        finished sending.
        """
        if self.started or self._probed == len(_VERSION):
            return False
        self._connection.transport.write(_VERSION[self._probed : self._probed + 1])
        self._probed += 1
        return True

    # Called by the application.

    async def _run(self, app: ASGIApp) -> None:
        try:
            await app(self._scope, self.receive, self)
        except Exception:
            log.exception("%s %s: the application failed", self._scope["method"], self.path[:100])
        else:
            if self.complete or self.gone:
                return
            log.error("%s %s: the application sent no answer", self._scope["method"], self.path[:100])
        if self.complete or self.gone:
            return
        if self.started:
            self.cut_off()  # the client must notice that the answer is incomplete
        else:
            self.refuse(error_reply(RuntimeError("not answered"), self.path))

    async def receive(self) -> Message:
        """ASGI's `receive`: a part of the body, or a disconnect event after the answer or if the client has left."""
        if self._expects_continue and not self.started:
            self._expects_continue = False
            if self._more and not self.size and not self.gone:
                self._connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not (self.gone or self.complete):
            if self._parts or not (self._more or self._told_end):
                body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
                self._parts.clear()
                self.unread = 0
                self._told_end = not self._more
                self._connection.steer()
                return {"type": "http.request", "body": body, "more_body": self._more}
            self._waiter = self._connection.loop.create_future()
            await self._waiter
        return {"type": "http.disconnect"}

    async def __call__(self, message: Message) -> None:
        """ASGI's `send`."""
        if self.gone or self.complete:
            return
        if message["type"] == "http.response.start":
            self._head = message["status"], list(message.get("headers", ()))
            return
        body: bytes | memoryview[Any] = b"" if self._scope["method"] == "HEAD" else message.get("body", b"")
        await self._connection.writable()
        if self.gone:
            return
        rules = self._connection.rules
        if len(body) <= SMALL_BYTES:
            self._connection.transport.write(b"".join(self._framed(body, message)))
        elif rules.budget.take(len(body)):
            rules.unread[self] = self._connection.loop.time()
            try:
                await self._write_large(*self._framed(body, message))
            finally:
                del rules.unread[self]
                rules.budget.give_back(len(body))
        else:
            rules.make_room(self._connection.loop.time())  # so that a second try can succeed
            if self.started:
                self.cut_off()
            else:
                self.refuse(rules.full(self.path))
        if not message.get("more_body", False) and not self.gone:
            if self._left:
                raise RuntimeError(f"{self._left} bytes of the answer are missing")
            self._finish()

    def whole(self, status: int, headers: Headers, body: "bytes | memoryview[Any]") -> bool:
        """Send a small answer at once; False, and nothing is sent, if it is large or the client reads too slowly."""
        if self.gone or self.complete:
            return True
        if len(body) > SMALL_BYTES or self._connection.write_paused:
            return False
        self._write_small(status, headers, body)
        self._finish()
        return True

    def _write_small(self, status: int, headers: Headers, body: "bytes | memoryview[Any]") -> None:
        head = self._start_answer(status, headers)
        self._connection.transport.write(head if self._scope["method"] == "HEAD" else b"".join((head, body)))

    async def _write_large(self, before: bytes, body: "bytes | memoryview[Any]", after: bytes) -> None:
        connection = self._connection
        connection.transport.write(before)
        view = memoryview(body)
        for at in range(0, len(view), _PIECE_BYTES):
            await connection.writable()
            if self.gone:
                return
            connection.transport.write(view[at : at + _PIECE_BYTES])
        if after:
            connection.transport.write(after)

    def _framed(
        self, body: "bytes | memoryview[Any]", message: Message
    ) -> "tuple[bytes, bytes | memoryview[Any], bytes]":
        """A part of the body, and the bytes to send before and after it."""
        before, after = self._begin(), b""
        if self._chunked:
            if body:
                before, after = before + b"%x\r\n" % len(body), b"\r\n"
            if not message.get("more_body", False):
                after += b"0\r\n\r\n"
        elif self._left is not None:
            if len(body) > self._left:
                raise RuntimeError("the answer is longer than its Content-Length")
            self._left -= len(body)
        return before, body, after

    def _begin(self) -> bytes:
        """The head, if it is not written yet."""
        if self.started:
            return b""
        if self._head is None:
            raise RuntimeError("an answer must begin with http.response.start")
        status, headers = self._head
        if self._scope["method"] == "HEAD" or status in (204, 304):
            self._left = 0
        else:
            self._left = next((int(value) for name, value in headers if name == b"content-length"), None)
            self._chunked = self._left is None and self._scope["http_version"] == "1.1"
        if self._chunked:
            headers.append((b"transfer-encoding", b"chunked"))
        return self._start_answer(status, headers)

    def _start_answer(self, status: int, headers: Headers) -> bytes:
        if self._expects_continue:  # the client may or may not send the body after all
            self.keep_alive = False
        parts = [_STATUS_LINES[status][self._probed :], self._connection.rules.date]
        for name, value in headers:
            parts += (name, b": ", value, b"\r\n")
        parts.append(b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n")
        head = b"".join(parts)
        if head.count(b"\n") != len(headers) + (3 if self.keep_alive else 4):
            raise RuntimeError("a header of the answer has a line break")
        self.started = True
        return head

    def _finish(self) -> None:
        """Note that the answer is written completely."""
        self.complete = True
        self._release()
        self._wake()
        self._connection.answered(self)

    def _release(self) -> None:
        self._parts.clear()
        self.unread = 0
        self._connection.rules.budget.give_back(self._held)
        self._held = 0

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._waiter = None
