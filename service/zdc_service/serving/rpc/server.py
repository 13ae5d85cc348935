"""The gRPC server: simulation, the Open Inference Protocol, health and reflection."""

import asyncio
import logging
import time
from collections.abc import Callable

import grpc
import grpc.aio
from zdc_common.errors import ConfigError, UnauthenticatedError

from zdc_service.access.tokens import Tokens
from zdc_service.messages.published import HEALTH, REFLECTIONS
from zdc_service.serving.budget import ByteBudget
from zdc_service.serving.inference.models import Authorize
from zdc_service.serving.rpc.callers import Callers
from zdc_service.serving.rpc.connections import unsent
from zdc_service.serving.rpc.guard import Gate, RpcGuard
from zdc_service.serving.rpc.health import Health
from zdc_service.serving.rpc.inference import SERVICE_NAME as INFERENCE_NAME
from zdc_service.serving.rpc.inference import InferenceService
from zdc_service.serving.rpc.reflection import Reflection
from zdc_service.serving.rpc.service import SERVICE_NAME, SimulationService
from zdc_service.serving.rpc.traced import TracedCalls
from zdc_service.serving.tracing import Tracing
from zdc_service.settings import ServerSettings
from zdc_service.simulating.simulator import Simulator

#: Methods that simulate.
SIMULATING = frozenset(
    {f"/{SERVICE_NAME}/{method}" for method in ("Simulate", "SimulateStream")}
    | {f"/{INFERENCE_NAME}/{method}" for method in ("ModelInfer", "ModelStreamInfer")}
)

log = logging.getLogger(__name__)

#: Callers that have called lately hear within this time that they are to ask another server.
_LINGER_SECONDS, _LATELY_SECONDS = 0.5, 10.0
_POLL_SECONDS = 0.01
#: Time for the reading of the last answers, once callers' systems have them; and for watches to end.
_READ_SECONDS, _WATCH_SECONDS = 0.3, 1.0
#: What a caller may send of a message that is not awaited yet.
_LOOKAHEAD_BYTES = 256 * 1024
#: Pings above the limit that are forgiven.
_PING_STRIKES = 2
#: Callers are asked so often whether they are still there, and left if they do not answer in time.
_KEEPALIVE_SECONDS, _KEEPALIVE_TIMEOUT_SECONDS = 60, 20
#: Seconds between two looks for callers who are late.
_LOOK_SECONDS = 1.0


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
        budget: ByteBudget | None = None,
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
        budget : Of the bytes held for callers; one of this server's own if absent.
        """
        doors: list[grpc.aio.ServerInterceptor] = []  # in the order in which callers pass them
        if tokens is not None:
            doors.append(RpcGuard(tokens, _count_refusals(simulator)))
        if tracing is not None:
            doors.append(TracedCalls(tracing, SIMULATING))
        logging.getLogger("grpc._cython.cygrpc").addFilter(_is_a_fault)
        self._server = grpc.aio.server(interceptors=doors, options=_options(settings))
        self._ready = False
        self._callers = Callers(budget or ByteBudget(settings.max_held_bytes), settings.body_seconds)
        self._looking: asyncio.Task[None] | None = None
        self._look_seconds = min(_LOOK_SECONDS, settings.body_seconds / 4)
        simulation = SimulationService(simulator, self._callers, settings.request_seconds)
        inference = InferenceService(
            simulator, self._callers, lambda: self._ready, settings.request_seconds, administrator
        )
        self._health = Health((SERVICE_NAME, INFERENCE_NAME), self._callers, simulator.metrics)
        services = (SERVICE_NAME, INFERENCE_NAME, HEALTH, *REFLECTIONS)
        reflection = Reflection(services, self._callers, simulator.metrics)
        self._gate = Gate(settings.max_connections, lambda kind: simulator.metrics.requests.labels("grpc", kind).inc())
        handlers = (simulation.handler(), inference.handler(), self._health.handler(), *reflection.handlers())
        self._server.add_generic_rpc_handlers((self._gate, *handlers))
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
        self._looking = asyncio.create_task(self._look())
        self._ready = True
        self._health.serve(True)

    async def drain(self) -> None:
        """Turn NOT_SERVING, and serve on."""
        self._ready = False
        self._health.serve(False)

    async def stop(self, grace: float) -> None:
        """Refuse further calls, finish those in flight for at most `grace` seconds, close.

        Streams are answered what they have asked for by then, and ended.
        """
        await self.drain()
        began = time.monotonic()
        self._gate.close()
        if began - self._gate.last_call < _LATELY_SECONDS:
            await asyncio.sleep(min(_LINGER_SECONDS, grace))
        self._health.end()
        ending = asyncio.create_task(self._end_streams())
        if not await self._answered(began + grace):
            log.error("gRPC calls are cut off: answers not computed or not read within %g s", grace)
        await self._server.stop(max(0.0, min(began + grace - time.monotonic(), _WATCH_SECONDS)))
        ending.cancel()
        if self._looking is not None:
            self._looking.cancel()

    async def _answered(self, until: float) -> bool:
        """Wait for the calls under way and the reading of their answers; False if it takes too long.

        gRPC closes a connection together with its last call. A caller who has not read the answer by then, and sends
        a byte, loses it.
        """
        while self._gate.calls or time.monotonic() < self._gate.last_end + _READ_SECONDS or unsent(self.port):
            if time.monotonic() >= until:
                return False
            await asyncio.sleep(_POLL_SECONDS)
        return True

    async def _end_streams(self) -> None:
        while True:
            self._callers.end_waiting()
            await asyncio.sleep(_POLL_SECONDS)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(self._look_seconds)
            self._callers.look()


def _is_a_fault(record: logging.LogRecord) -> bool:
    """Whether something is wrong; gRPC also logs a traceback of every caller who leaves before the answer is sent."""
    return record.exc_info is None or getattr(record.exc_info[0], "__name__", "") != "ExecuteBatchError"


def _count_refusals(simulator: Simulator) -> Callable[[], None]:
    return simulator.metrics.requests.labels("grpc", UnauthenticatedError.kind).inc


def _options(settings: ServerSettings) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 0),  # by default gRPC shares a port with other servers, and calls would go to either
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", settings.body_limit),
        ("grpc.http2.lookahead_bytes", _LOOKAHEAD_BYTES),
        ("grpc.http2.bdp_probe", 0),  # would take megabytes ahead, for each call
        ("grpc.max_concurrent_streams", settings.max_connections),
        ("grpc.max_allowed_incoming_connections", settings.max_connections),
        ("grpc.server_handshake_timeout_ms", round(settings.header_seconds * 1000)),
        ("grpc.max_connection_idle_ms", round(settings.idle_seconds * 1000)),
        ("grpc.http2.min_ping_interval_without_data_ms", round(settings.grpc_ping_seconds * 1000)),
        ("grpc.http2.max_ping_strikes", _PING_STRIKES if settings.grpc_ping_seconds else 0),
        ("grpc.keepalive_permit_without_calls", 1),  # else clients between two calls may ping every two hours alone
        ("grpc.keepalive_time_ms", _KEEPALIVE_SECONDS * 1000),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_SECONDS * 1000),
    ]
