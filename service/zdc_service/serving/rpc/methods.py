"""Handlers of methods with one request message and one answer."""

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

#: Maximum size of a message that contains only names; gRPC's own limit is meant for arrays.
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
    """The handler of a method with small messages.

    Parameters
    ----------
    callers : Reads the message and sends the answer.
    request : Type of the message.
    answer : Computes the answer.
    count : Called with the kind of every error.
    check : Raises a `ZdcError` if the client may not call the method.
    """

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
    """The handler of a method that reads its one message itself, because gRPC would wait for it without a limit."""
    return grpc.stream_unary_rpc_method_handler(method)


async def failed(context: Context, error: Exception, what: str, count: Count) -> NoReturn:
    """End a call with an error: count it, log it if it is internal, and send the status."""
    kind = kind_of(error)
    if kind == "internal":
        log.error("%s failed", what, exc_info=error)
    count(kind)
    await abort(context, error)
