"""What every gRPC method does with its call."""

import asyncio
import time
from typing import Any, NoReturn

import grpc
import grpc.aio

from zdc_service.status import GRPC_KIND_KEY, STATUSES, kind_of, message_of

Context = grpc.aio.ServicerContext[Any, Any]


def deadline_of(context: Context) -> float | None:
    """The `time.monotonic` after which the caller waits no longer, or None."""
    left = context.time_remaining()
    return None if left is None else time.monotonic() + left


async def send(context: Context, reply: bytes) -> None:
    """Write one reply of a stream; raises CancelledError where the caller is gone."""
    try:
        await context.write(reply)
    except grpc.aio.InternalError as error:  # what a write meets before the caller's cancellation has arrived
        raise asyncio.CancelledError("the caller is gone") from error


async def abort(context: Context, error: Exception) -> NoReturn:
    """End a call with the status, the message and the kind of an error."""
    kind = kind_of(error)
    await context.abort(STATUSES[kind][1], message_of(error), ((GRPC_KIND_KEY, kind),))
