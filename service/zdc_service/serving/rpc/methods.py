"""Handlers of methods with one message and one answer."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf.message import Message

from zdc_service.serving.rpc.callers import Callers
from zdc_service.serving.rpc.calls import Context, abort
from zdc_service.status import kind_of

log = logging.getLogger(__name__)

#: Of a message that names something; gRPC's own limit is for arrays.
MOST_BYTES = 64 * 1024

#: Called with the kind of each error.
Count: TypeAlias = Callable[[str], None]


def unary(
    callers: Callers,
    request: type[Message],
    answer: Callable[[Any], Awaitable[Message]],
    count: Count,
    check: Callable[[Context], None] = lambda _: None,
) -> "grpc.RpcMethodHandler[Any, Any]":
    """The handler of a method for callers whom `check` does not refuse; `count` hears of every error."""

    async def method(_messages: object, context: Context) -> bytes:
        try:
            check(context)
            reply = await answer(await callers.message(request, context, MOST_BYTES))
            return callers.hand_over(context, reply.SerializeToString())
        except Exception as error:
            await failed(context, error, request.DESCRIPTOR.name, count)
        except asyncio.CancelledError:
            count("cancelled")
            raise

    return whole(method)


def whole(method: Callable[[Any, Context], Awaitable[bytes]]) -> "grpc.RpcMethodHandler[Any, Any]":
    """The handler of a method with one message, which it reads itself: gRPC would wait for it without an end."""
    return grpc.stream_unary_rpc_method_handler(method)


async def failed(context: Context, error: Exception, what: str, count: Count) -> NoReturn:
    """End a call with an error: its metric, the log if the server is at fault, and the status."""
    kind = kind_of(error)
    if kind == "internal":
        log.error("%s failed", what, exc_info=error)
    count(kind)
    await abort(context, error)
