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

#: At shutdown, if there was a call in the last _LATELY_SECONDS, new calls are refused for this long before the port is
#: closed, so that clients learn to use another server.
_LINGER_SECONDS, _LATELY_SECONDS = 0.5, 10.0
_POLL_SECONDS = 0.01
#: Time for clients to read the last answers after their systems have received them, and time for watches to end.
_READ_SECONDS, _WATCH_SECONDS = 0.3, 1.0
#: Maximum number of bytes of a message that a client may send before the server reads it.
_LOOKAHEAD_BYTES = 256 * 1024
#: Number of too frequent pings before the connection is closed.
_PING_STRIKES = 2
#: Interval between keepalive pings to clients; a client that does not answer in the second time is disconnected.
_KEEPALIVE_SECONDS, _KEEPALIVE_TIMEOUT_SECONDS = 60, 20
#: Seconds between two checks for clients that are too late.
_LOOK_SECONDS = 1.0


class RpcServer:
    """A gRPC server on one port.

    Attributes
    ----------
    port : Port on which it listens.
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
        """Bind the port; raises ConfigError if it is in use.

        Parameters
        ----------
        simulator : Computes the responses.
        settings : Have the address and the limits.
        credentials : For TLS; None: no TLS.
        tokens : The valid tokens; None: clients need no token.
        administrator : Checks the token of a client that loads or unloads a model; by default every client may do so.
        tracing : Gets a span for each call that simulates.
        budget : Limits the bytes held for clients; by default this server has its own.
        """
        doors: list[grpc.aio.ServerInterceptor] = []  # in the order in which a call passes them
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
        self._health = Health((SERVICE_NAME, INFERENCE_NAME), self._callers, simulator.instruments)
        services = (SERVICE_NAME, INFERENCE_NAME, HEALTH, *REFLECTIONS)
        reflection = Reflection(services, self._callers, simulator.instruments)
        self._gate = Gate(
            settings.max_connections, lambda kind: simulator.instruments.requests.labels("grpc", kind).inc()
        )
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
        """Start to serve, and report SERVING to health checks."""
        await self._server.start()
        self._looking = asyncio.create_task(self._look())
        self._ready = True
        self._health.serve(True)

    async def drain(self) -> None:
        """Report NOT_SERVING to health checks, but continue to serve."""
        self._ready = False
        self._health.serve(False)

    async def stop(self, grace: float) -> None:
        """Refuse new calls, finish those in progress for at most `grace` seconds, then close.

        Streams get the answers to the requests that have arrived, and are then ended.
        """
        await self.drain()
        began = time.monotonic()
        self._gate.close()
        if began - self._gate.last_call < _LATELY_SECONDS:
            await asyncio.sleep(min(_LINGER_SECONDS, grace))
        self._health.end()
        ending = asyncio.create_task(self._end_streams())
        if not await self._answered(began + grace):
            log.error("ended gRPC calls: answers were not computed or not read within %g s", grace)
        await self._server.stop(max(0.0, min(began + grace - time.monotonic(), _WATCH_SECONDS)))
        ending.cancel()
        if self._looking is not None:
            self._looking.cancel()

    async def _answered(self, until: float) -> bool:
        """Wait until the calls in progress are answered and their answers are read; False if this takes too long.

        gRPC closes a connection together with its last call. A client that has not read the answer by then loses it as
        soon as it sends a byte.
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
    """Whether a log record is about a real error: gRPC also logs a traceback if a client leaves before its answer."""
    return record.exc_info is None or getattr(record.exc_info[0], "__name__", "") != "ExecuteBatchError"


def _count_refusals(simulator: Simulator) -> Callable[[], None]:
    return simulator.instruments.requests.labels("grpc", UnauthenticatedError.kind).inc


def _options(settings: ServerSettings) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 0),  # by default gRPC shares a port with other servers, which get some of the calls
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", settings.body_limit),
        ("grpc.http2.lookahead_bytes", _LOOKAHEAD_BYTES),
        ("grpc.http2.bdp_probe", 0),  # would let each call send megabytes in advance
        ("grpc.max_concurrent_streams", settings.max_connections),
        ("grpc.max_allowed_incoming_connections", settings.max_connections),
        ("grpc.server_handshake_timeout_ms", round(settings.header_seconds * 1000)),
        ("grpc.max_connection_idle_ms", round(settings.idle_seconds * 1000)),
        ("grpc.http2.min_ping_interval_without_data_ms", round(settings.grpc_ping_seconds * 1000)),
        ("grpc.http2.max_ping_strikes", _PING_STRIKES if settings.grpc_ping_seconds else 0),
        ("grpc.keepalive_permit_without_calls", 1),  # else idle clients may send only one ping in two hours
        ("grpc.keepalive_time_ms", _KEEPALIVE_SECONDS * 1000),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_SECONDS * 1000),
    ]
