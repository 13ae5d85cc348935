"""One HTTP connection: the order of its requests, its time limits, and its end."""

import asyncio
import contextlib
import fcntl
import sys
import termios
from collections import deque
from collections.abc import Callable
from enum import Enum

from starlette.types import Scope

from zdc_service.serving.http.errors import refusal
from zdc_service.serving.http.reply import Reply
from zdc_service.serving.http.transport.cycle import SMALL_BYTES, Cycle
from zdc_service.serving.http.transport.framing import HEAD_BYTES, MalformedError, RequestHead, RequestReader
from zdc_service.serving.http.transport.rules import ConnectionRules

#: Maximum number of pipelined requests on one connection; further requests are not answered.
_PIPELINED = 100
#: Routes refuse a large body themselves, with a better message. The connection refuses it only if it exceeds the limit
#: by this many bytes.
_BODY_SLACK = 1024 * 1024
#: After the last answer, incoming bytes are read and ignored until none arrive for this long. If the connection were
#: closed at once, the client's system would discard the answer (RFC 9112, section 9.6).
_LINGER_SECONDS = 2.0
#: Seconds until the first check whether a client that has finished sending is still there; the interval then doubles.
_PROBE_SECONDS = 0.01
#: Scope for the refusal of bytes that are not a request.
_NO_SCOPE = {"method": "", "path": "", "http_version": "1.1"}


class _Phase(Enum):
    """Phase of a connection."""

    HEAD = 1  #: waits for a request's line and headers
    BODY = 2  #: waits for the rest of a request
    REST = 3  #: has received a complete request, which is being answered or was answered
    LINGER = 4  #: has sent the last answer, and ignores further bytes


class HttpConnection(asyncio.Protocol):
    """Handles the events of one connection, from asyncio and from `RequestReader`.

    Attributes
    ----------
    rules : Settings and state that all connections share.
    loop, transport : The event loop and the transport of asyncio.
    write_paused : Whether to send nothing more for now, because the client reads too slowly.
    """

    def __init__(self, rules: ConnectionRules, no_room: bool, leave: Callable[["HttpConnection"], None]):
        """Wait for the transport.

        Parameters
        ----------
        rules : Settings and state that all connections share.
        no_room : Whether this connection is above the maximum number of connections.
        leave : Called when the connection has ended.
        """
        self.rules = rules
        self.loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # set by `connection_made`
        self.write_paused = False
        self._app = rules.no_room if no_room else rules.app
        self._last = no_room
        self._leave = leave
        self._reader = RequestReader(self)
        self._cycles: deque[Cycle] = deque()  # the first is being answered
        self._arriving: Cycle | None = None  # the request whose body is not complete
        self._phase = _Phase.HEAD
        self._since = self.loop.time()
        self._received = 0  # bytes of a head or body that is not complete yet
        self._overhead = 0  # bytes of chunk framing since the last bytes of content
        self._chunk = 0  # bytes that are being parsed
        self._linger_until = 0.0
        self._read_paused = self._eof = self._refused = False
        self._writable: asyncio.Future[None] | None = None
        self._unsent, self._unsent_since = 0, self._since  # bytes that the client has not received
        self._addresses: tuple[tuple[str, int] | None, tuple[str, int] | None] = (None, None)

    @property
    def idle(self) -> bool:
        """Whether every request, also every part of one, is answered, and all answers are sent."""
        if self._cycles or self._phase is _Phase.BODY or (self._phase is _Phase.HEAD and self._received):
            return False
        return not (self.rules.tls and self._unread())

    # Called by the server.

    def look(self, now: float) -> None:
        """Close the connection if its client takes too long; `now` is the time on the loop's clock."""
        if self.transport is None:
            return
        rules, waited, unsent = self.rules, now - self._since, self._unread()
        if unsent != self._unsent:
            self._unsent, self._unsent_since = unsent, now
        elif unsent and now - self._unsent_since > rules.body_seconds:
            self.transport.abort()  # the client does not read; close() would wait for it
        if unsent or self.transport.is_closing():
            return
        if self._phase is _Phase.LINGER:
            if waited > _LINGER_SECONDS or now > self._linger_until:
                self.transport.close()
        elif self._read_paused or (self._cycles and self._phase is not _Phase.BODY):
            self._since = now  # the client waits for the server
        elif self._phase is _Phase.REST or self.idle:
            limit = rules.idle_seconds if self._phase is _Phase.REST else rules.header_seconds
            if waited > limit:
                self.transport.close()
        else:
            head = self._phase is _Phase.HEAD
            limit = rules.header_seconds if head else rules.body_seconds
            if waited > limit:
                part = "head" if head else "body"
                self._refuse(408, "timeout", f"the {part} of the request did not arrive within {limit:g} s")

    def finish(self) -> None:
        """Close the connection after the answer to the last request, unless that answer has begun already."""
        if self._cycles and not self._cycles[-1].started:
            self._cycles[-1].keep_alive = False

    # Called by asyncio.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # for TCP and TLS
        """Keep the transport."""
        self.transport = transport
        self._since = self.loop.time()
        here, there = (transport.get_extra_info(name) for name in ("sockname", "peername"))
        self._addresses = here and here[:2], there and there[:2]

    def data_received(self, data: bytes) -> None:
        """Parse requests, and count the bytes of an incomplete one."""
        if self._refused or self._phase is _Phase.LINGER:
            self._since = self.loop.time()
            return
        if self._phase is _Phase.REST:
            self._phase, self._since, self._received = _Phase.HEAD, self.loop.time(), 0
        self._chunk = len(data)
        self._overhead += len(data)
        try:
            self._reader.feed(data)
        except MalformedError as error:
            self._refuse(error.status, error.kind, str(error))
            return
        if self._phase in (_Phase.REST, _Phase.LINGER):
            return
        self._received += len(data)
        if self._phase is _Phase.HEAD:
            if self._received > HEAD_BYTES:
                self._refuse_head()
        elif self._overhead > HEAD_BYTES:
            self._refuse(431, "too_large", f"the chunk headers of the body have more than {HEAD_BYTES} bytes")

    def eof_received(self) -> bool:
        """Answer the complete requests: the client sends nothing more, but may still read."""
        self._eof = True
        if self._arriving is not None and self._arriving in self._cycles:
            if self._arriving is self._cycles[0]:
                return False
            self._cycles.pop()
            self._arriving.hang_up()
            self._arriving = None
        if not self._cycles or self.rules.tls:  # asyncio closes both directions when TLS is closed
            return False
        self._reader.stop()
        self._cycles[-1].keep_alive = False
        self._probe(_PROBE_SECONDS)
        return True

    def pause_writing(self) -> None:
        """Stop sending: the client reads too slowly."""
        self.write_paused = True

    def resume_writing(self) -> None:
        """Continue to send: the client has read."""
        self.write_paused = False
        self._unsent_since = self.loop.time()
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def connection_lost(self, _error: Exception | None) -> None:
        """Drop all requests: the client has disconnected."""
        for cycle in (*self._cycles, *filter(None, [self._arriving])):
            cycle.hang_up()
        self._cycles.clear()
        self._arriving = None
        self.resume_writing()
        self._leave(self)

    # Called by the RequestReader.

    def on_head(self, head: RequestHead) -> None:
        """Start to answer, or wait for the answers to earlier requests."""
        self._phase = _Phase.BODY
        last = self._last or self.rules.closing or not head.keep_alive or len(self._cycles) == _PIPELINED
        if last:
            self._reader.stop(after_this=True)
        cycle = self._arriving = Cycle(self, self._scope(head), not last, head.expects_continue)
        self._cycles.append(cycle)
        limit = self.rules.body_limit + (0 if head.expects_continue else _BODY_SLACK)
        if self._received + self._chunk > HEAD_BYTES and head.size > HEAD_BYTES:
            self._refuse_head()
        elif head.length is not None and head.length > limit:
            self._refuse_body()
        elif len(self._cycles) == 1:
            cycle.start(self._app)
        self._received = self._overhead = 0
        self.steer()

    def on_body(self, data: bytes) -> None:
        """Pass on a part of the body."""
        cycle = self._arriving
        if cycle is None:
            return
        self._overhead = 0
        if not cycle.body(data):
            self._refuse_by(self.rules.full)
        elif cycle.size > self.rules.body_limit + _BODY_SLACK:
            self._refuse_body()
        elif cycle.unread > SMALL_BYTES:
            self.steer()

    def on_end(self) -> None:
        """Note that the request is complete."""
        cycle, self._arriving = self._arriving, None
        if cycle is not None:
            self._phase = _Phase.REST
            cycle.end()

    # Called by Cycle objects.

    def steer(self) -> None:
        """Pause reading while the application has enough unprocessed data, else continue."""
        arriving = self._arriving
        pause = len(self._cycles) > 1 or (arriving is not None and arriving.unread > SMALL_BYTES)
        if pause is not self._read_paused and not self._eof:
            self._read_paused = pause
            if pause:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    async def writable(self) -> None:
        """Wait until the client has read enough that more can be sent."""
        while self.write_paused:
            self._writable = self.loop.create_future()
            await self._writable

    def answered(self, cycle: Cycle) -> None:
        """Continue with the next request, or close the connection."""
        if not self._cycles or self._cycles[0] is not cycle:
            return
        self._cycles.popleft()
        if not cycle.keep_alive:
            self._end()
            return
        if self._cycles:
            self._cycles[0].start(self._app)
        self.steer()

    def _unread(self) -> int:
        """Number of bytes that the client's system has not received.

        asyncio does not tell how many encrypted bytes it holds, and loses them if TLS ends too early. Therefore the
        bytes in the send buffer of the operating system are added, if it tells their number.
        """
        unread = self.transport.get_write_buffer_size()
        if self.rules.tls and not self.transport.is_closing():
            with contextlib.suppress(OSError, ValueError):
                found = fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
                unread += int.from_bytes(found, sys.byteorder)
        return unread

    def _scope(self, head: RequestHead) -> Scope:
        here, there = self._addresses
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": head.version,
            "scheme": "https" if self.rules.tls else "http",
            "server": here,
            "client": there,
            "method": head.method,
            "path": head.path,
            "raw_path": head.raw_path,
            "query_string": head.query,
            "root_path": "",
            "headers": head.headers,
        }

    def _probe(self, seconds: float) -> None:
        """Test whether a client that has finished sending is still connected: if not, writing to it fails."""
        if self._cycles and not self.transport.is_closing() and self._cycles[0].probe():
            self.loop.call_later(seconds, self._probe, 2 * seconds)

    def _refuse_head(self) -> None:
        self._refuse(431, "too_large", f"the head of the request has more than {HEAD_BYTES} bytes")

    def _refuse_body(self) -> None:
        message = f"the body has more than {self.rules.body_limit} bytes; split the particles"
        self._refuse(413, "too_large", message)

    def _refuse(self, status: int, kind: str, message: str) -> None:
        self._refuse_by(lambda path: refusal(path, status, kind, message))

    def _refuse_by(self, reply_to: Callable[[str], Reply]) -> None:
        """Answer instead of the application, after the answers to earlier requests, and close the connection."""
        self._refused = True
        self._reader.stop()
        self._phase = _Phase.REST
        cycle, self._arriving = self._arriving, None
        if cycle is None:
            cycle = Cycle(self, _NO_SCOPE, keep_alive=False)
            self._cycles.append(cycle)
        elif cycle.complete:
            self._end()
            return
        elif cycle.started:
            cycle.cut_off()
            return
        cycle.refusal = reply_to(cycle.path)
        if cycle is self._cycles[0]:
            cycle.start(self._app)

    def _end(self) -> None:
        """Close the connection; if more bytes may arrive, ignore them first for a while."""
        for cycle in self._cycles:
            cycle.hang_up()
        self._cycles.clear()
        self._reader.stop()
        more_to_come = self._refused or self._arriving is not None
        if self._eof or not (more_to_come or (self.rules.tls and self._unread())):
            self.transport.close()
            return
        if self._arriving is not None:
            self._arriving.hang_up()
            self._arriving = None
        self._phase, self._since = _Phase.LINGER, self.loop.time()
        self._linger_until = self._since + self.rules.body_seconds
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.steer()
