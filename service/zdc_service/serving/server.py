"""The server process: HTTP and gRPC with one simulator."""

import asyncio
import contextlib
import errno
import gc
import json
import logging
import os
import signal
import socket
import sys
from functools import partial
from pathlib import Path

import uvloop
from starlette.types import ASGIApp
from zdc_common.errors import ConfigError, UnauthenticatedError
from zdc_detector.frames import Frame

from zdc_service.access.exposure import check_exposure
from zdc_service.access.tls import Certificates
from zdc_service.access.tokens import Tokens
from zdc_service.engine.watcher import Watcher
from zdc_service.serving.budget import ByteBudget
from zdc_service.serving.http.app import create_http_app, create_management_app
from zdc_service.serving.http.browsers import for_browsers
from zdc_service.serving.http.guard import Guard
from zdc_service.serving.http.page import PAGE_PATHS
from zdc_service.serving.http.traced import TracedDoor
from zdc_service.serving.http.transport.server import HttpServer
from zdc_service.serving.rpc.server import RpcServer
from zdc_service.serving.tracing import Tracing
from zdc_service.settings import ServerSettings
from zdc_service.simulating.simulator import Simulator

log = logging.getLogger(__name__)

#: New objects between two runs of the garbage collector. A request makes about a hundred objects, with few cycles.
_COLLECT_AFTER = 20_000


class Server:
    """HTTP and gRPC on one event loop.

    Attributes
    ----------
    simulator : Computes the responses for both.
    budget : Limits the bytes held for clients of both.
    http_port, grpc_port, management_port : Ports on which it listens.
    ready : Whether the server accepts new requests.
    """

    def __init__(self, settings: ServerSettings):
        """Load and check the models, certificates and tokens.

        Raises
        ------
        ConfigError : a setting is wrong, a port is in use, or an extra is not installed.
        ModelError : a model does not match its card.
        """
        check_exposure(settings)
        self._settings = settings
        self.budget = ByteBudget(settings.max_held_bytes)
        self._certificates = None
        if settings.tls_certificate is not None and settings.tls_key is not None:
            self._certificates = Certificates(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
        every = [*settings.token_files, *settings.admin_token_files]
        self._tokens = Tokens(every) if settings.token_files else None
        self._administrator = Tokens(settings.admin_token_files).check if settings.admin_token_files else None
        self.ready = False
        self._tracing = None
        context = None if self._certificates is None else self._certificates.context
        with contextlib.ExitStack() as opened:
            if settings.trace_endpoint is not None:
                self._tracing = Tracing(settings.trace_endpoint, settings.trace_share)
                opened.callback(self._tracing.close)
            self._socket = opened.enter_context(_bind("--http-port", settings.host, settings.http_port))
            self._grpc_socket = opened.enter_context(_bind("--grpc-port", settings.host, settings.grpc_port))
            self._management_socket = None
            if settings.management_port is not None:
                host = settings.management_host or settings.host
                self._management_socket = opened.enter_context(
                    _bind("--management-port", host, settings.management_port)
                )
            self.simulator = opened.enter_context(Simulator(settings))
            self._http = HttpServer(self._http_app(), settings, self.budget, context)
            self._management: HttpServer | None = None
            if self._management_socket is not None:
                app = create_management_app(self.simulator, self._is_ready)
                host = settings.management_host or settings.host
                self._management = HttpServer(for_browsers(app, settings, host, self._refused), settings, self.budget)
            opened.pop_all()
        self.http_port, self.grpc_port = _port(self._socket), _port(self._grpc_socket)
        self.management_port = None if self._management_socket is None else _port(self._management_socket)
        self._rpc: RpcServer | None = None
        self._watcher: Watcher | None = None

    @property
    def http_connections(self) -> int:
        """Number of HTTP connections that are open or in a TLS handshake."""
        return self._http.connections

    def _is_ready(self) -> bool:
        return self.ready

    def _http_app(self) -> ASGIApp:
        settings = self._settings
        app = create_http_app(
            self.simulator,
            self._is_ready,
            settings.body_limit,
            settings.request_seconds,
            self._administrator,
            metrics=settings.management_port is None,
            grpc_port=lambda: self.grpc_port,
        )
        if self._tracing is not None:
            app = TracedDoor(app, self._tracing)
        if self._tokens is not None:
            app = Guard(app, self._tokens, partial(self._refused, UnauthenticatedError.kind), PAGE_PATHS)
        return for_browsers(app, settings, settings.host, self._refused)

    def _refused(self, kind: str) -> None:
        self.simulator.instruments.requests.labels("http", kind).inc()

    async def start(self) -> None:
        """Accept requests; raises ConfigError if a port is in use."""
        settings = self._settings
        if self._management is not None and self._management_socket is not None:
            _listen(self._management, "--management-port", self._management_socket)
        credentials = None if self._certificates is None else self._certificates.grpc_credentials()
        bound = settings.model_copy(update={"grpc_port": self.grpc_port})
        self._rpc = RpcServer(
            self.simulator, bound, credentials, self._tokens, self._administrator, self._tracing, self.budget
        )
        self._grpc_socket.close()  # gRPC now has its own socket on this port
        await self._rpc.start()
        _listen(self._http, "--http-port", self._socket)
        if settings.model_poll_seconds:
            self._watcher = Watcher(self.simulator.repository.refresh, settings.model_poll_seconds, "models")
        # Exclude the objects that exist now from garbage collection: 300000 objects of libraries never become garbage.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_COLLECT_AFTER, 20, 20)
        self.ready = True

    async def drain(self) -> None:
        """Report that the server is not ready, but continue to serve."""
        self.ready = False
        self._http.drain()
        if self._rpc is not None:
            await self._rpc.drain()

    async def stop(self) -> None:
        """Refuse new requests, finish accepted ones, and close."""
        await self.drain()
        grace = self._settings.shutdown_seconds
        closing = [self._http.stop(grace)]
        if self._rpc is not None:
            closing.append(self._rpc.stop(grace))
        if self._watcher is not None:
            closing.append(asyncio.to_thread(self._watcher.stop))
        await asyncio.gather(*closing)
        if self._management is not None:
            await self._management.stop(0.0)  # last, so that probes and metrics work until the end
        for listening in (self._socket, self._grpc_socket, self._management_socket):
            if listening is not None:
                listening.close()
        await asyncio.to_thread(self.simulator.close)
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)

    async def run(self) -> None:
        """Serve until SIGTERM, SIGINT or SIGHUP; a second SIGTERM or SIGINT ends the process at once."""
        told = asyncio.Event()

        def on_signal(number: int) -> None:
            if told.is_set() and number != signal.SIGHUP:
                log.error("%s again: exiting at once; unanswered requests are lost", signal.Signals(number).name)
                os._exit(128 + number)
            told.set()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores it
                loop.add_signal_handler(number, on_signal, number)
        try:
            await self.start()
            self._announce()
            await told.wait()
            log.info(
                "shutting down: not ready, but serving for %g s, then up to %g s to finish requests",
                self._settings.drain_seconds,
                self._settings.shutdown_seconds,
            )
            await self.drain()
            await asyncio.sleep(self._settings.drain_seconds)
        finally:
            await self.stop()

    def _announce(self) -> None:
        host = _to_call(self._settings.host)
        card = self.simulator.repository.get().card
        species = card.ranges.species[0]
        pz = round((species.energy[0] * species.energy[1]) ** 0.5)
        particle: dict[str, float] = {"pdg": species.pdg, "px": 0.0, "py": 0.0, "pz": pz}
        request: dict[str, object] = {"particles": [particle], "output": "channels"}
        if Frame.FACE in card.ranges.frames:  # a charged particle can be given in no other frame
            particle["vx"], particle["vy"] = card.calorimeter.centre
            request["frame"] = Frame.FACE.value
        body = json.dumps(request)
        scheme = "http" if self._certificates is None else "https"
        http, grpc = f"{scheme}://{host}:{self.http_port}", f"{host}:{self.grpc_port}"
        lines = [f"HTTP on {http} (demo page for browsers; API documentation at /docs), gRPC on {grpc}"]
        options = "-H 'Content-Type: application/json'"
        if self._certificates is not None:
            options += " --cacert CA.pem"
        if self._settings.tls_client_ca is not None:
            options += " --cert YOURS.pem --key YOURS.key"
        if self._tokens is not None:
            options += ' -H "Authorization: Bearer $TOKEN"'
        lines.append(f"curl -s {scheme}://{host}:{self.http_port}/simulate {options} -d '{body}'")
        if self.management_port is not None:
            host = _to_call(self._settings.management_host or self._settings.host)
            lines.append(f"probes and metrics on http://{host}:{self.management_port}")
        _say("\n".join(lines))


def _say(text: str) -> None:
    """Print a text; if standard output is closed, log it instead and continue to serve."""
    try:
        print(text, flush=True)  # does nothing if there is no standard output
    except OSError as error:
        log.warning("cannot write to standard output (%s): %s", error.strerror, text.replace("\n", "; "))
        with Path(os.devnull).open("wb") as nowhere:  # for the rest of the buffer
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _to_call(host: str) -> str:
    """The host to write into a URL, for clients on this machine, if a server listens on `host`."""
    host = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    return f"[{host}]" if ":" in host else host


def _listen(server: HttpServer, option: str, bound: socket.socket) -> None:
    host, port = bound.getsockname()[:2]
    try:
        server.start(bound)
    except OSError as error:  # another server started at the same time and took the port
        raise _no_port(option, host, port, error) from error


def _bind(option: str, host: str, port: int) -> socket.socket:
    every = host in ("0.0.0.0", "::") and socket.has_dualstack_ipv6()  # for gRPC, both mean IPv4 and IPv6
    family = socket.AF_INET6 if every or ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if every:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        bound.bind(("::" if every else host, port))
    except OSError as error:
        bound.close()
        raise _no_port(option, host, port, error) from error
    return bound


def _port(bound: socket.socket) -> int:
    return int(bound.getsockname()[1])


def _no_port(option: str, host: str, port: int, error: OSError) -> ConfigError:
    remedies = {errno.EADDRINUSE: "is another server running?", errno.EACCES: "ports below 1024 need privileges"}
    remedy = remedies.get(
        error.errno or 0, f"{option.replace('http-', '').replace('port', 'host')} must be an address of this machine"
    )
    return ConfigError(f"{option} {port} on {host}: {error.strerror}; {remedy}")


def serve(settings: ServerSettings) -> None:
    """Run a server until SIGTERM, SIGINT or SIGHUP; raises what `Server` raises."""
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    server = Server(settings)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server.run())
