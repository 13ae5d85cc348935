"""What every gRPC method does with its call."""

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
    """The `time.monotonic` after which the caller waits no longer, or None."""
    left = context.time_remaining()
    return None if left is None else time.monotonic() + left


def authorization(metadata: Any) -> str | bytes | None:
    """What a call's metadata, pairs of names and values, has as ``authorization``."""
    return next((value for name, value in metadata if name == "authorization"), None)


@contextmanager
def caller_may_be_gone() -> Iterator[None]:
    """CancelledError for what a caller's end looks like to those who write before its cancellation has arrived."""
    try:
        yield
    except grpc.aio.InternalError as error:
        raise asyncio.CancelledError("the caller is gone") from error


async def abort(context: Context, error: Exception) -> NoReturn:
    """End a call with the status, the message and the kind of an error; CancelledError where the caller is gone."""
    kind = kind_of(error)
    with caller_may_be_gone():
        await context.abort(STATUSES[kind][1], message_of(error), ((GRPC_KIND_KEY, kind),))
