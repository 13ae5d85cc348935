"""The gRPC server: simulation, the Open Inference Protocol, health and reflection."""

import asyncio
import logging
import time
from collections.abc import Callable

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from zdc_detector.errors import ConfigError, UnauthenticatedError

from zdc_service.access.tokens import Tokens
from zdc_service.inference.models import Authorize
from zdc_service.rpc.calls import Streams
from zdc_service.rpc.guard import Gate, RpcGuard
from zdc_service.rpc.inference import SERVICE_NAME as INFERENCE_NAME
from zdc_service.rpc.inference import InferenceService
from zdc_service.rpc.service import SERVICE_NAME, SimulationService
from zdc_service.rpc.traced import TracedCalls
from zdc_service.settings import ServerSettings
from zdc_service.simulator import Simulator
from zdc_service.tracing import Tracing

#: Methods that simulate.
SIMULATING = frozenset(
    {f"/{SERVICE_NAME}/{method}" for method in ("Simulate", "SimulateStream")}
    | {f"/{INFERENCE_NAME}/{method}" for method in ("ModelInfer", "ModelStreamInfer")}
)

log = logging.getLogger(__name__)

#: Callers that have called lately hear within this time that they are to ask another server.
_LINGER_SECONDS, _LATELY_SECONDS = 0.5, 10.0
_POLL_SECONDS = 0.01


class RpcServer:
    """A server on one port.

    Attributes
    ----------
    port : Where it listens.
    """

    def __init__(
        self,
        simulator: Simulator,
        settings: ServerSettings,
        credentials: grpc.ServerCredentials | None = None,
        tokens: Tokens | None = None,
        administrator: Authorize | None = None,
        tracing: Tracing | None = None,
    ):
        """Bind the port; raises ConfigError where it is taken.

        Parameters
        ----------
        simulator : Behind it.
        settings : Address and limits.
        credentials : For TLS.
        tokens : What callers must have one of.
        administrator : Passes those who may load and unload models; by default whoever gets here may.
        tracing : Gets a span for each call that simulates.
        """
        doors: list[grpc.aio.ServerInterceptor] = []  # in the order in which callers pass them
        if tokens is not None:
            doors.append(RpcGuard(tokens, _count_refusals(simulator)))
        if tracing is not None:
            doors.append(TracedCalls(tracing, SIMULATING))
        self._server = grpc.aio.server(interceptors=doors, options=_options(settings))
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._ready = False
        self._streams = Streams()
        simulation = SimulationService(simulator, self._streams, settings.request_seconds)
        inference = InferenceService(
            simulator, self._streams, lambda: self._ready, settings.request_seconds, administrator
        )
        self._gate = Gate()
        self._server.add_generic_rpc_handlers((self._gate, simulation.handler(), inference.handler()))
        services = (SERVICE_NAME, INFERENCE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(services, self._server)
        host, port = settings.host, settings.grpc_port
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            self.port: int = (
                self._server.add_insecure_port(address)
                if credentials is None
                else self._server.add_secure_port(address, credentials)
            )
        except RuntimeError as error:
            raise ConfigError(f"--grpc-port {port} on {host}: {error}; is another server running?") from error

    async def start(self) -> None:
        """Serve, and say so to health checks."""
        await self._server.start()
        self._ready = True
        for service in ("", SERVICE_NAME, INFERENCE_NAME):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    async def drain(self) -> None:
        """Turn NOT_SERVING, and serve on."""
        self._ready = False
        await self._health.enter_graceful_shutdown()

    async def stop(self, grace: float) -> None:
        """Refuse further calls, finish those in flight for at most `grace` seconds, close.

        Streams are answered what they have asked for by then, and ended.
        """
        await self.drain()
        began = time.monotonic()
        self._gate.close()
        if began - self._gate.last_call < _LATELY_SECONDS:
            await asyncio.sleep(min(_LINGER_SECONDS, grace))
        ending = asyncio.create_task(self._end_streams())
        await self._server.stop(max(0.0, began + grace - time.monotonic()))
        ending.cancel()
        if time.monotonic() >= began + grace:
            log.error("gRPC calls are cut off: answers not computed or not read within %g s", grace)

    async def _end_streams(self) -> None:
        while True:
            self._streams.end_waiting()
            await asyncio.sleep(_POLL_SECONDS)


def _count_refusals(simulator: Simulator) -> Callable[[], None]:
    return simulator.metrics.requests.labels("grpc", UnauthenticatedError.kind).inc


def _options(settings: ServerSettings) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 0),  # by default gRPC shares a port with other servers, and calls would go to either
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", settings.body_limit),
        ("grpc.max_concurrent_streams", settings.max_connections),
        ("grpc.max_allowed_incoming_connections", settings.max_connections),
        ("grpc.server_handshake_timeout_ms", round(settings.header_seconds * 1000)),
        ("grpc.max_connection_idle_ms", round(settings.idle_seconds * 1000)),
    ]
