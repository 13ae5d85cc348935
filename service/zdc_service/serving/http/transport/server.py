"""The HTTP server: its listening socket, its connections, and how it stops."""

import asyncio
import contextlib
import ctypes
import logging
import socket
import ssl
import struct
import time

from starlette.types import ASGIApp
from zdc_common.words import counted

from zdc_service.serving.budget import ByteBudget
from zdc_service.serving.http.guard import NoRoom
from zdc_service.serving.http.transport.connection import HttpConnection
from zdc_service.serving.http.transport.rules import ConnectionRules
from zdc_service.settings import ServerSettings

log = logging.getLogger(__name__)

_BACKLOG = 2048
#: Maximum number of connections accepted in a row, before the event loop serves existing connections again.
_ACCEPTED_AT_ONCE = 64
#: Number of connections above the maximum that are still accepted, to send a refusal or the answer to a probe. If there
#: are more, the oldest of them is closed, which has had enough time for a probe.
_SURPLUS = 64
#: Pause after the operating system could not accept a connection.
_RETRY_SECONDS = 0.5
#: Time for a next request that a client has sent but that has not arrived yet, when the server stops.
_LINGER_SECONDS = 0.5
#: Time for the client's part of closing TLS (close_notify); clients that keep a connection for later do not send it.
_TLS_FAREWELL_SECONDS = 1.0
_POLL_SECONDS = 0.01
#: Time for the kernel to complete TCP handshakes that began before new ones were ignored.
_HANDSHAKE_SECONDS = 0.1

_SO_ATTACH_FILTER = 26
#: Classic BPF: load the flags of the TCP header, drop the packet if SYN is among them, else keep it.
_DROP_SYN = struct.pack("HBBI" * 4, 0x30, 0, 0, 13, 0x45, 0, 1, 0x02, 0x06, 0, 0, 0, 0x06, 0, 0, 0xFFFFFFFF)


class HttpServer:
    """Serves an ASGI application on a socket.

    Connections are counted from the moment they are accepted, also during their TLS handshake.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings, budget: ByteBudget, tls: ssl.SSLContext | None = None):
        """Prepare to serve an application.

        Parameters
        ----------
        app : The ASGI application.
        settings : Have the limits for connections and bodies.
        budget : Limits the bytes of bodies and answers in memory.
        tls : TLS configuration; None: no TLS.
        """
        self._rules = ConnectionRules(
            app=app,
            no_room=NoRoom(app, settings.max_connections),
            max_connections=settings.max_connections,
            header_seconds=settings.header_seconds,
            body_seconds=settings.body_seconds,
            idle_seconds=settings.idle_seconds,
            body_limit=settings.body_limit,
            budget=budget,
            tls=tls is not None,
        )
        self._tls = tls
        self._listening: socket.socket | None = None
        self._ticking: asyncio.Task[None] | None = None
        self._connections: dict[HttpConnection, socket.socket] = {}
        self._surplus: set[HttpConnection] = set()
        self._cuttable: dict[HttpConnection, None] = {}  # surplus connections in the order of their arrival
        self._connecting: set[asyncio.Task[None]] = set()

    @property
    def connections(self) -> int:
        """Number of connections that are open or in a TLS handshake."""
        return len(self._connections)

    def start(self, listening: socket.socket) -> None:
        """Accept connections; raises OSError if another server listens on the port."""
        listening.setblocking(False)
        listening.listen(_BACKLOG)
        self._listening = listening
        asyncio.get_running_loop().add_reader(listening, self._accept)
        self._ticking = asyncio.create_task(self._tick())

    def drain(self) -> None:
        """From now on, send `Connection: close` in every answer."""
        self._rules.closing = True
        for connection in self._connections:
            connection.finish()

    async def stop(self, grace: float) -> None:
        """Accept no more connections, answer received requests for at most `grace` seconds, then close."""
        self.drain()
        if self._listening is None or self._ticking is None:
            return
        began = time.monotonic()
        await self._stop_accepting(self._listening)
        connections, tasks = self._connections, self._rules.tasks
        while (connections or tasks) and time.monotonic() < began + grace:
            if time.monotonic() > began + _LINGER_SECONDS:
                for connection in list(connections):
                    if connection.transport is None:  # in its TLS handshake
                        self._cut(connection)
                    elif connection.idle:
                        connection.transport.close()
            await asyncio.sleep(_POLL_SECONDS)
        self._ticking.cancel()
        if connections or tasks:
            number = max(len(connections), len(tasks))
            closed = counted(number, "HTTP connection")
            log.error("closed %s: answers were not computed or not read within %g s", closed, grace)
        for connection in list(connections):
            self._cut(connection)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._connecting, return_exceptions=True)

    def _accept(self) -> None:
        """Accept waiting connections."""
        assert self._listening is not None
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                caller, _ = self._listening.accept()
            except BlockingIOError:
                return
            except ConnectionError:  # the client has disconnected already
                continue
            except OSError as error:
                log.error("cannot accept a connection: %s", error.strerror)
                loop = asyncio.get_running_loop()
                loop.remove_reader(self._listening)
                loop.call_later(_RETRY_SECONDS, self._accept_again)
                return
            self._admit(caller)

    def _accept_again(self) -> None:
        if self._listening is not None:
            asyncio.get_running_loop().add_reader(self._listening, self._accept)

    def _admit(self, caller: socket.socket) -> None:
        no_room = len(self._connections) - len(self._surplus) >= self._rules.max_connections
        connection = HttpConnection(self._rules, no_room, self._leave)
        self._connections[connection] = caller
        if no_room:
            self._surplus.add(connection)
            self._cuttable[connection] = None
            if len(self._cuttable) > _SURPLUS:
                self._cut(next(iter(self._cuttable)))
        task = asyncio.create_task(self._connect(caller, connection))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, caller: socket.socket, connection: HttpConnection) -> None:
        """Set up an accepted connection; with TLS, do the handshake."""
        caller.setblocking(False)
        seconds = None if self._tls is None else self._rules.header_seconds
        farewell = None if self._tls is None else _TLS_FAREWELL_SECONDS
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                caller,
                ssl=self._tls,
                ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=farewell,
            )
        except OSError:  # the client does not speak TLS, is too slow, or has disconnected
            self._leave(connection)

    def _cut(self, connection: HttpConnection) -> None:
        """Close a connection at once, also during its TLS handshake."""
        self._cuttable.pop(connection, None)
        if connection.transport is not None:
            connection.transport.abort()
        else:
            with contextlib.suppress(OSError):
                self._connections[connection].shutdown(socket.SHUT_RDWR)

    def _leave(self, connection: HttpConnection) -> None:
        self._connections.pop(connection, None)
        self._surplus.discard(connection)
        self._cuttable.pop(connection, None)

    async def _tick(self) -> None:
        """Update the Date header and check for slow clients at regular intervals."""
        loop = asyncio.get_running_loop()
        while True:
            self._rules.set_date()
            for connection in list(self._connections):
                connection.look(loop.time())
            await asyncio.sleep(self._rules.interval)

    async def _stop_accepting(self, listening: socket.socket) -> None:
        """Accept the connections that still wait, because their clients may have sent a request; close the socket."""
        _ignore_new_callers(listening)
        await asyncio.sleep(_HANDSHAKE_SECONDS)
        self._listening = None
        asyncio.get_running_loop().remove_reader(listening)
        with listening, contextlib.suppress(OSError):
            while True:
                self._admit(listening.accept()[0])


def _ignore_new_callers(listening: socket.socket) -> None:
    """Let Linux drop the packets that open connections (SYN), because closing the socket would break such connections.

    The clients' systems try again after a second, and are then refused. On other systems a connection may be lost if
    it is opened in the microseconds between the last accept and the close.
    """
    program = ctypes.create_string_buffer(_DROP_SYN)
    with contextlib.suppress(OSError):
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", 4, ctypes.addressof(program)))
