"""Functions that every gRPC method uses: deadline, authorization and errors of a call."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import grpc
import grpc.aio

from zdc_service.status import GRPC_KIND_KEY, STATUSES, kind_of, message_of

Context = grpc.aio.ServicerContext[Any, Any]


def deadline_of(context: Context) -> float | None:
    """The client's deadline on the clock of `time.monotonic`, or None."""
    left = context.time_remaining()
    return None if left is None else time.monotonic() + left


def authorization(metadata: Any) -> str | bytes | None:
    """The value of ``authorization`` in a call's metadata, which are pairs of names and values; None if absent."""
    return next((value for name, value in metadata if name == "authorization"), None)


@contextmanager
def caller_may_be_gone() -> Iterator[None]:
    """Turn the error of writing to a client that has left into CancelledError.

    gRPC raises InternalError if a write comes before its own cancellation of the call.
    """
    try:
        yield
    except grpc.aio.InternalError as error:
        raise asyncio.CancelledError("the client has left") from error


async def abort(context: Context, error: Exception) -> NoReturn:
    """End a call with the status, message and kind of an error; raises CancelledError if the client has left."""
    kind = kind_of(error)
    with caller_may_be_gone():
        await context.abort(STATUSES[kind][1], message_of(error), ((GRPC_KIND_KEY, kind),))
