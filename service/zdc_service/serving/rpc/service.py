"""The gRPC service `zdc.v1.Simulation`."""

import asyncio
import time
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

import grpc
import grpc.aio
from zdc_common.errors import TooLargeError, ZdcError

from zdc_service.deadlines import within
from zdc_service.messages import simulation_pb2 as pb
from zdc_service.serving.rpc.callers import Callers
from zdc_service.serving.rpc.calls import Context, deadline_of
from zdc_service.serving.rpc.convert import read_request, write_response
from zdc_service.serving.rpc.methods import failed, whole
from zdc_service.serving.rpc.window import Window
from zdc_service.serving.tracing import trace_reply
from zdc_service.simulating.plan import Plan
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import SimulationRequest, SimulationResult

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["Simulation"].full_name

#: Maximum size of a message that gRPC clients receive by default.
MESSAGE_LIMIT = 4 * 1024 * 1024
#: Bytes of names, shapes and lengths in a message, besides its arrays.
_MESSAGE_OVERHEAD = 4096
#: Size of the arrays of one reply in a stream: small enough that computing, sending and reading overlap.
_STREAM_REPLY_BYTES = 1024 * 1024
#: Maximum number of replies of one stream that are queued, being computed or not sent yet. It limits the memory that a
#: slow client can use.
_STREAM_WINDOW = 8
#: Requests with more particles are checked, and answers with more bytes encoded, on another thread.
_LARGE_PARTICLES, _LARGE_BYTES = 2048, 256 * 1024
#: The answer to a request with one repeat and at most this many particles fits into a message for any model and output.
_SMALL_PARTICLES = 64
#: Maximum size of a row of such a request.
_SMALL_ROW_BYTES = MESSAGE_LIMIT // _SMALL_PARTICLES

_PDG_BYTES = 4

#: Labels of the two methods in the Prometheus metrics.
_PROTOCOLS = ("grpc", "grpc_stream")


@dataclass(frozen=True)
class _Reply:
    """A reply of a stream that is not sent yet."""

    result: "asyncio.Future[SimulationResult]"
    last: bool


#: Replies of one stream in order; an exception or None ends the stream.
_Replies: TypeAlias = "asyncio.Queue[_Reply | Exception | None]"


class SimulationService:
    """The two methods of the service."""

    def __init__(self, simulator: Simulator, callers: Callers, request_seconds: float | None = None):
        """Bind the methods to a simulator.

        Parameters
        ----------
        simulator : Computes the responses.
        callers : Reads messages and sends answers.
        request_seconds : Maximum time for an answer; a client's deadline may be earlier.
        """
        self._simulator = simulator
        self._callers = callers
        self._request_seconds = request_seconds
        self._requests = simulator.instruments.requests
        # Looking up labels takes longer than counting.
        self._succeeded = {protocol: self._requests.labels(protocol, "ok") for protocol in _PROTOCOLS}
        self._encode_seconds = {
            protocol: simulator.instruments.encode_seconds.labels(protocol) for protocol in _PROTOCOLS
        }

    def handler(self) -> grpc.GenericRpcHandler:
        """The handler to register with a server."""
        return grpc.method_handlers_generic_handler(
            SERVICE_NAME,
            {
                "Simulate": whole(self.simulate),
                "SimulateStream": grpc.stream_stream_rpc_method_handler(self.simulate_stream),
            },
        )

    async def simulate(self, _messages: object, context: Context) -> bytes:
        """Answer one request with one reply."""
        try:
            message = await self._callers.message(pb.SimulateRequest, context)
            deadline = within(deadline_of(context), self._request_seconds)
            reply = await self._encode(await self._ask(message, deadline), True, "grpc")
            self._callers.hand_over(context, reply)
        except Exception as error:
            await self._abort(context, error, "grpc")
        except asyncio.CancelledError:
            self._requests.labels("grpc", "cancelled").inc()
            raise
        self._succeeded["grpc"].inc()
        return reply

    async def _ask(self, message: pb.SimulateRequest, deadline: float | None) -> SimulationResult:
        plan = await self._read(message)
        if isinstance(plan, SimulationRequest):
            return await self._simulator.ask(plan, deadline)
        most = (MESSAGE_LIMIT - _MESSAGE_OVERHEAD) // plan.row_bytes
        if plan.rows > most:
            raise TooLargeError(
                f"{plan.rows} rows of up to {plan.row_bytes} bytes exceed the {MESSAGE_LIMIT} bytes of a unary "
                f"reply; use SimulateStream, or at most {most} rows"
            )
        return await self._simulator.dispatch(plan, deadline=deadline)

    async def simulate_stream(self, _messages: object, context: Context) -> None:
        """Send replies in the order of the requests, computed at most a `Window` ahead of the client's reading."""
        window = Window(self._callers, _STREAM_WINDOW)
        replies: _Replies = asyncio.Queue()
        submitting = asyncio.create_task(self._submit_all(context, window, replies))

        def give_up(error: ZdcError) -> None:
            submitting.cancel()
            _drop(replies)
            window.close(sending=1)
            replies.put_nowait(error)

        try:
            while (reply := await replies.get()) is not None:
                if isinstance(reply, Exception):
                    raise reply
                message = await self._encode(await reply.result, reply.last, "grpc_stream")
                await self._callers.send(context, message, give_up)
                window.release()
                if reply.last:
                    self._succeeded["grpc_stream"].inc()
        except Exception as error:
            await self._abort(context, error, "grpc_stream")
        except asyncio.CancelledError:
            self._requests.labels("grpc_stream", "cancelled").inc()
            raise
        finally:
            submitting.cancel()
            window.close()
            _drop(replies)

    async def _submit_all(self, context: Context, window: Window, replies: _Replies) -> None:
        end_of_stream = deadline_of(context)
        try:
            async for message in self._callers.messages(pb.SimulateRequest, context):
                deadline = within(end_of_stream, self._request_seconds)
                plan = await self._read(message)
                if isinstance(plan, SimulationRequest):
                    await window.acquire(len(plan.particles) * _SMALL_ROW_BYTES)
                    replies.put_nowait(_Reply(self._simulator.ask(plan, deadline), last=True))
                    continue
                step = max(1, _STREAM_REPLY_BYTES // plan.row_bytes)
                for start in range(0, max(plan.rows, 1), step):
                    stop = min(start + step, plan.rows)
                    await window.acquire((stop - start) * plan.row_bytes)
                    future = self._simulator.dispatch(plan, start, stop, deadline)
                    replies.put_nowait(_Reply(future, last=stop == plan.rows))
            replies.put_nowait(None)
        except Exception as error:
            replies.put_nowait(error)

    async def _read(self, message: pb.SimulateRequest) -> Plan | SimulationRequest:
        """As checked; a small request, whose answer fits one message, is left to be checked together with others."""

        def read() -> Plan | SimulationRequest:
            request = read_request(message, self._simulator.max_request_rows)
            small = particles <= _SMALL_PARTICLES and request.repeats == 1
            return request if small else self._simulator.plan(request)

        particles = len(message.particles.pdg) / _PDG_BYTES
        return await asyncio.to_thread(read) if particles > _LARGE_PARTICLES else read()

    async def _encode(self, result: SimulationResult, last: bool, protocol: str) -> bytes:
        began = time.monotonic()
        large = result.response is not None and result.response.nbytes > _LARGE_BYTES
        reply = await asyncio.to_thread(write_response, result, last) if large else write_response(result, last)
        seconds = time.monotonic() - began
        self._encode_seconds[protocol].observe(seconds)
        trace_reply(result, seconds)
        return reply

    async def _abort(self, context: Context, error: Exception, protocol: str) -> NoReturn:
        await failed(context, error, protocol, lambda kind: self._requests.labels(protocol, kind).inc())


def _drop(replies: _Replies) -> None:
    while not replies.empty():
        left = replies.get_nowait()
        if isinstance(left, _Reply) and not left.result.cancel() and not left.result.cancelled():
            left.result.exception()  # asyncio warns about exceptions that are not retrieved
