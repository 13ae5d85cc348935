"""One process that serves HTTP and gRPC from one simulator."""

import asyncio
import contextlib
import errno
import json
import logging
import signal
import socket
import sys
from collections.abc import Iterator

import uvicorn
import uvloop
from starlette.types import ASGIApp
from zdc_detector.errors import ConfigError

from zdc_service.http.app import create_http_app
from zdc_service.rpc.server import RpcServer
from zdc_service.settings import ServerSettings
from zdc_service.simulator import Simulator
from zdc_service.watcher import Watcher

log = logging.getLogger(__name__)


class Server:
    """HTTP and gRPC on one event loop.

    Attributes
    ----------
    simulator : Behind both.
    http_port, grpc_port : Where it listens, once started.
    ready : Whether new work is welcome.
    """

    def __init__(self, settings: ServerSettings):
        """Load and check the models.

        Raises
        ------
        ConfigError : a setting is wrong, or a port is taken.
        ModelError : a model is not what its card says.
        """
        self._settings = settings
        self._socket = _bind(settings.host, settings.http_port)
        self.http_port: int = self._socket.getsockname()[1]
        self.grpc_port = settings.grpc_port
        try:
            self.simulator = Simulator(settings)
        except BaseException:
            self._socket.close()
            raise
        self.ready = False
        http = create_http_app(self.simulator, lambda: self.ready, settings.body_limit, settings.request_seconds)
        self._http = _HttpServer(http, settings)
        self._rpc: RpcServer | None = None
        self._http_task: asyncio.Task[None] | None = None
        self._watcher: Watcher | None = None

    async def start(self) -> None:
        """Accept requests; raises ConfigError where a port is taken."""
        self._rpc = RpcServer(self.simulator, self._settings.host, self._settings.grpc_port)
        self.grpc_port = self._rpc.port
        await self._rpc.start()
        self._http_task = asyncio.create_task(self._http.serve(sockets=[self._socket]))
        while not self._http.started and not self._http_task.done():
            await asyncio.sleep(0.001)
        if self._http_task.done():
            ended, self._http_task = self._http_task, None
            try:
                ended.result()
            except OSError as error:  # a server that was starting too, and now listens
                raise _no_port(self._settings.host, self.http_port, error) from error
        if self._settings.model_poll_seconds:
            self._watcher = Watcher(self.simulator.repository.refresh, self._settings.model_poll_seconds, "models")
        self.ready = True

    async def stop(self) -> None:
        """Refuse new work, finish what was accepted, close."""
        self.ready = False
        self._http.should_exit = True
        closing = [task for task in (self._http_task,) if task is not None]
        if self._rpc is not None:
            closing.append(asyncio.create_task(self._rpc.stop(self._settings.shutdown_seconds)))
        if self._watcher is not None:
            closing.append(asyncio.create_task(asyncio.to_thread(self._watcher.stop)))
        await asyncio.gather(*closing)
        self._socket.close()
        await asyncio.to_thread(self.simulator.close)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        try:
            await self.start()
            self._announce()
            await stop.wait()
            log.info("shutting down; finishing requests in flight")
        finally:
            await self.stop()

    def _announce(self) -> None:
        host = "127.0.0.1" if self._settings.host in ("0.0.0.0", "::") else self._settings.host
        host = f"[{host}]" if ":" in host else host
        species = self.simulator.repository.get().card.ranges.species[0]
        pz = round((species.energy[0] * species.energy[1]) ** 0.5)
        body = json.dumps({"particles": [{"pdg": species.pdg, "px": 0.0, "py": 0.0, "pz": pz}], "output": "channels"})
        print(f"HTTP on http://{host}:{self.http_port} (documentation at /docs), gRPC on {host}:{self.grpc_port}")
        print(f"curl -s http://{host}:{self.http_port}/simulate -H 'Content-Type: application/json' -d '{body}'")
        sys.stdout.flush()


class _HttpServer(uvicorn.Server):
    """Leaves signals to `Server.run`, which stops both protocols."""

    def __init__(self, app: ASGIApp, settings: ServerSettings):
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=round(settings.shutdown_seconds) or 1,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing to capture."""
        yield


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise _no_port(host, port, error) from error
    return bound


def _no_port(host: str, port: int, error: OSError) -> ConfigError:
    remedies = {errno.EADDRINUSE: "is another server running?", errno.EACCES: "ports below 1024 need privileges"}
    remedy = remedies.get(error.errno or 0, "--host must be an address of this machine")
    return ConfigError(f"--http-port {port} on {host}: {error.strerror}; {remedy}")


def serve(settings: ServerSettings) -> None:
    """Run a server until SIGTERM or SIGINT; raises what `Server` raises."""
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    server = Server(settings)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server.run())
