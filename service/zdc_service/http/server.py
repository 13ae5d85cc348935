"""The HTTP server: a listening socket, its connections, and how they come to an end."""

import asyncio
import contextlib
import ctypes
import logging
import socket
import ssl
import struct
import time
from email.utils import formatdate

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from zdc_service.http.connection import ConnectionRules, HttpConnection
from zdc_service.http.guard import NoRoom
from zdc_service.settings import ServerSettings

log = logging.getLogger(__name__)

_BACKLOG = 2048
#: A caller that has just been answered may have sent its next request, which is then on its way.
_LINGER_SECONDS = 0.5
#: TLS ends with a farewell of both sides, which callers that keep a connection for later do not send.
_TLS_FAREWELL_SECONDS = 1.0
_POLL_SECONDS = 0.01
#: Time for the kernel to finish connecting those who had begun when new callers were no longer heard.
_HANDSHAKE_SECONDS = 0.1

_SO_ATTACH_FILTER = 26
#: Classic BPF: load the flags of the TCP header, drop the packet where SYN is among them, else keep it.
_DROP_SYN = struct.pack("HBBI" * 4, 0x30, 0, 0, 13, 0x45, 0, 1, 0x02, 0x06, 0, 0, 0, 0x06, 0, 0, 0xFFFFFFFF)


class HttpServer:
    """Serves an ASGI application on a socket.

    uvicorn's own server takes signals, looks for its end ten times a second, closes connections on which a request may
    be on its way, and leaves callers as much time as they like; hence this one, around uvicorn's protocol.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings, tls: ssl.SSLContext | None = None):
        """Serve `app`, over TLS where there is a context, within the limits of the settings."""
        self._rules = ConnectionRules(
            max_connections=settings.max_connections,
            header_seconds=settings.header_seconds,
            body_seconds=settings.body_seconds,
            idle_seconds=settings.idle_seconds,
            body_limit=settings.body_limit,
            no_room=NoRoom(app, settings.max_connections),
        )
        self._tls = tls
        self._handshake_seconds = None if tls is None else settings.header_seconds
        self._farewell_seconds = None if tls is None else _TLS_FAREWELL_SECONDS
        self._config = uvicorn.Config(
            app,
            http=HttpConnection,
            interface="asgi3",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
        )
        self._config.load()
        self._state = ServerState()
        self._listening: tuple[asyncio.Server, socket.socket] | None = None
        self._ticking: asyncio.Task[None] | None = None

    async def start(self, listening: socket.socket) -> None:
        """Accept connections; raises OSError where another server listens on the port."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            self._connection,
            sock=listening,
            backlog=_BACKLOG,
            ssl=self._tls,
            ssl_handshake_timeout=self._handshake_seconds,
            ssl_shutdown_timeout=self._farewell_seconds,
        )
        self._listening = server, listening.dup()
        self._ticking = asyncio.create_task(self._tick())

    def drain(self) -> None:
        """Say in every answer from now on that the connection ends with it."""
        self._rules.closing = True
        for connection in self._connections:
            connection.finish()

    async def stop(self, grace: float) -> None:
        """Take no further connections, answer what has arrived for at most `grace` seconds, close."""
        self.drain()
        if self._listening is None or self._ticking is None:
            return
        began = time.monotonic()
        await self._stop_accepting(*self._listening)
        await asyncio.sleep(_POLL_SECONDS)  # what was just accepted joins the connections
        state = self._state
        while (state.connections or state.tasks) and time.monotonic() < began + grace:
            if time.monotonic() > began + _LINGER_SECONDS:
                for connection in self._connections:
                    if connection.idle:
                        connection.transport.close()
            await asyncio.sleep(_POLL_SECONDS)
        self._ticking.cancel()
        if state.connections or state.tasks:
            number = max(len(state.connections), len(state.tasks))
            log.error("%d HTTP connections are cut off: answers not computed or not read within %g s", number, grace)
        for connection in self._connections:
            connection.transport.abort()
        for task in state.tasks:
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)

    @property
    def _connections(self) -> list[HttpConnection]:
        return [connection for connection in self._state.connections if isinstance(connection, HttpConnection)]

    def _connection(self) -> HttpConnection:
        return HttpConnection(self._config, self._state, self._rules)

    async def _tick(self) -> None:
        """Keep the Date header right and look after slow callers."""
        loop = asyncio.get_running_loop()
        while True:
            self._state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
            for connection in self._connections:
                connection.look(loop.time())
            await asyncio.sleep(self._rules.interval)

    async def _stop_accepting(self, server: asyncio.Server, listening: socket.socket) -> None:
        """Close the socket, after the connections that wait there: their callers may have sent a request."""
        loop = asyncio.get_running_loop()
        _ignore_new_callers(listening)
        await asyncio.sleep(_HANDSHAKE_SECONDS)
        server.close()
        listening.setblocking(False)
        arriving: list[asyncio.Task[object]] = []
        with listening, contextlib.suppress(BlockingIOError):
            while True:
                connection, _ = listening.accept()
                taking = loop.connect_accepted_socket(
                    self._connection,
                    connection,
                    ssl=self._tls,
                    ssl_handshake_timeout=self._handshake_seconds,
                    ssl_shutdown_timeout=self._farewell_seconds,
                )
                arriving.append(asyncio.ensure_future(taking))
        if arriving:
            await asyncio.wait(arriving, timeout=_LINGER_SECONDS)


def _ignore_new_callers(listening: socket.socket) -> None:
    """Have Linux drop what opens connections, so that none is made that closing the socket would then break.

    The callers' systems ask again after a second, and are refused. Elsewhere a connection may be lost in the
    microseconds between the last one that is accepted and the end.
    """
    program = ctypes.create_string_buffer(_DROP_SYN)
    with contextlib.suppress(OSError):
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", 4, ctypes.addressof(program)))
