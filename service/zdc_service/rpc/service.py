"""`zdc.v1.Simulation` over gRPC."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator

import grpc
import grpc.aio
from zdc_detector.errors import TooLargeError

from zdc_service.job import Plan
from zdc_service.rpc import simulation_pb2 as pb
from zdc_service.rpc.convert import read_request, write_response
from zdc_service.simulation import SimulationResult
from zdc_service.simulator import Simulator
from zdc_service.status import GRPC_KIND_KEY, STATUSES, kind_of, message_of

log = logging.getLogger(__name__)

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["Simulation"].full_name

#: What gRPC clients receive at most unless told otherwise.
MESSAGE_LIMIT = 4 * 1024 * 1024
#: Names, shape and lengths beside the arrays of a message.
_MESSAGE_OVERHEAD = 4096
#: Arrays of one reply in a stream: small enough that computing, sending and reading overlap.
_STREAM_REPLY_BYTES = 1024 * 1024
#: Replies of one stream that are queued, computed or computed and not yet sent; a slow reader holds up no more.
_STREAM_WINDOW = 8
#: Requests with more particles than this are checked, and answers with more bytes encoded, on another thread.
_LARGE_PARTICLES, _LARGE_BYTES = 512, 256 * 1024

_Context = grpc.aio.ServicerContext[pb.SimulateRequest, pb.SimulateResponse]
_Pending = tuple["asyncio.Future[SimulationResult]", bool]


class SimulationService:
    """The two methods, bound to a simulator."""

    def __init__(self, simulator: Simulator):
        self._simulator = simulator
        self._requests = simulator.metrics.requests

    def handler(self) -> grpc.GenericRpcHandler:
        """What a server registers."""
        read, write = pb.SimulateRequest.FromString, pb.SimulateResponse.SerializeToString
        return grpc.method_handlers_generic_handler(
            SERVICE_NAME,
            {
                "Simulate": grpc.unary_unary_rpc_method_handler(self.simulate, read, write),
                "SimulateStream": grpc.stream_stream_rpc_method_handler(self.simulate_stream, read, write),
            },
        )

    async def simulate(self, message: pb.SimulateRequest, context: _Context) -> pb.SimulateResponse:
        """One request, one reply."""
        try:
            plan = await self._plan(message)
            most = (MESSAGE_LIMIT - _MESSAGE_OVERHEAD) // plan.row_bytes
            if plan.rows > most:
                raise TooLargeError(
                    f"{plan.rows} rows of up to {plan.row_bytes} bytes pass the {MESSAGE_LIMIT} bytes of a unary "
                    f"reply; use SimulateStream, or at most {most} rows"
                )
            future = asyncio.wrap_future(self._simulator.submit(plan, deadline=_deadline(context)))
            reply = await self._encode(await future, True, "grpc")
        except Exception as error:
            return await self._abort(context, error, "grpc")
        except asyncio.CancelledError:
            self._requests.labels("grpc", "cancelled").inc()
            raise
        self._requests.labels("grpc", "ok").inc()
        return reply

    async def simulate_stream(
        self, messages: AsyncIterator[pb.SimulateRequest], context: _Context
    ) -> AsyncIterator[pb.SimulateResponse]:
        """Replies in the order of the requests, computed a window ahead of what has been sent."""
        pending: asyncio.Queue[_Pending | Exception | None] = asyncio.Queue(_STREAM_WINDOW)
        reader = asyncio.create_task(self._submit_all(messages, context, pending))
        try:
            while (item := await pending.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                future, last = item
                yield await self._encode(await future, last, "grpc_stream")
                if last:
                    self._requests.labels("grpc_stream", "ok").inc()
        except Exception as error:
            await self._abort(context, error, "grpc_stream")
        except asyncio.CancelledError:
            self._requests.labels("grpc_stream", "cancelled").inc()
            raise
        finally:
            reader.cancel()
            while not pending.empty():
                item = pending.get_nowait()
                if isinstance(item, tuple):
                    item[0].cancel()

    async def _submit_all(
        self,
        messages: AsyncIterator[pb.SimulateRequest],
        context: _Context,
        pending: "asyncio.Queue[_Pending | Exception | None]",
    ) -> None:
        deadline = _deadline(context)
        try:
            async for message in messages:
                plan = await self._plan(message)
                step = max(1, _STREAM_REPLY_BYTES // plan.row_bytes)
                for start in range(0, max(plan.rows, 1), step):
                    stop = min(start + step, plan.rows)
                    future = asyncio.wrap_future(self._simulator.submit(plan, start, stop, deadline))
                    await pending.put((future, stop == plan.rows))
            await pending.put(None)
        except Exception as error:
            await pending.put(error)

    async def _plan(self, message: pb.SimulateRequest) -> Plan:
        def plan() -> Plan:
            return self._simulator.plan(read_request(message))

        large = len(message.particles.pdg) > 4 * _LARGE_PARTICLES
        return await asyncio.to_thread(plan) if large else plan()

    async def _encode(self, result: SimulationResult, last: bool, protocol: str) -> pb.SimulateResponse:
        began = time.monotonic()
        large = result.response is not None and result.response.nbytes > _LARGE_BYTES
        reply = await asyncio.to_thread(write_response, result, last) if large else write_response(result, last)
        self._simulator.metrics.encode_seconds.labels(protocol).observe(time.monotonic() - began)
        return reply

    async def _abort(self, context: _Context, error: Exception, protocol: str) -> pb.SimulateResponse:
        if isinstance(error, grpc.aio.AbortError):
            raise error
        kind = kind_of(error)
        if kind == "internal":
            log.error("%s failed", protocol, exc_info=error)
        self._requests.labels(protocol, kind).inc()
        await context.abort(STATUSES[kind][1], message_of(error), ((GRPC_KIND_KEY, kind),))
        raise AssertionError("abort raises")


def _deadline(context: _Context) -> float | None:
    left = context.time_remaining()
    return None if left is None else time.monotonic() + left
