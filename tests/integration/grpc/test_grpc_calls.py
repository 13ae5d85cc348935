"""The end of calls whose clients left before the server noticed."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import pytest
from helpers.waiting import PATIENCE
from zdc_common.errors import OverloadedError
from zdc_service.serving.budget import ByteBudget
from zdc_service.serving.rpc.callers import Callers
from zdc_service.serving.rpc.calls import Context, abort

ENDINGS: dict[str, Callable[[Context], Awaitable[None]]] = {
    "abort": lambda context: abort(context, OverloadedError("too many rows wait")),
    "send": lambda context: Callers(ByteBudget(1), 60).send(context, b"reply"),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_disconnected_client_is_a_cancellation_and_no_failure(ending: str) -> None:
    """grpc.aio would log an error of the server with a traceback."""

    async def meet() -> BaseException | None:
        met: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        began = asyncio.Event()

        class Busy(grpc.GenericRpcHandler):
            def service(self, _details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
                return grpc.stream_stream_rpc_method_handler(self.answer)

            async def answer(self, _messages: Any, context: Context) -> None:
                began.set()
                while not call.cancelled():
                    await asyncio.sleep(0)
                time.sleep(0.3)  # the loop is busy while the cancellation arrives
                try:
                    await ENDINGS[ending](context)
                except BaseException as error:
                    met.set_result(error)
                    raise
                met.set_result(None)

        server = grpc.aio.server()
        server.add_generic_rpc_handlers((Busy(),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            ask = channel.unary_stream("/any/method", request_serializer=bytes, response_deserializer=bytes)
            call = ask(b"")
            await began.wait()
            call.cancel()
            error = await asyncio.wait_for(met, PATIENCE)
        await server.stop(None)
        return error

    assert isinstance(asyncio.run(meet()), asyncio.CancelledError)
