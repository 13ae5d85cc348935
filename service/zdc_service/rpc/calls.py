"""What every gRPC method does with its call."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import grpc
import grpc.aio
from zdc_detector.errors import NotReadyError

from zdc_service.status import GRPC_KIND_KEY, STATUSES, kind_of, message_of

Context = grpc.aio.ServicerContext[Any, Any]

_Message = TypeVar("_Message")


def deadline_of(context: Context) -> float | None:
    """The `time.monotonic` after which the caller waits no longer, or None."""
    left = context.time_remaining()
    return None if left is None else time.monotonic() + left


def authorization(metadata: Any) -> str | bytes | None:
    """What a call's metadata, pairs of names and values, has as ``authorization``."""
    return next((value for name, value in metadata if name == "authorization"), None)


@contextmanager
def _caller_may_be_gone() -> Iterator[None]:
    """CancelledError for what a caller's end looks like to those who write before its cancellation has arrived."""
    try:
        yield
    except grpc.aio.InternalError as error:
        raise asyncio.CancelledError("the caller is gone") from error


async def send(context: Context, reply: bytes) -> None:
    """Write one reply of a stream; raises CancelledError where the caller is gone."""
    with _caller_may_be_gone():
        await context.write(reply)


async def abort(context: Context, error: Exception) -> NoReturn:
    """End a call with the status, the message and the kind of an error; CancelledError where the caller is gone."""
    kind = kind_of(error)
    with _caller_may_be_gone():
        await context.abort(STATUSES[kind][1], message_of(error), ((GRPC_KIND_KEY, kind),))


class Streams:
    """Reads the streams that are open, so that the server can end them between two messages."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Task[Any]] = set()
        self._ended: set[asyncio.Task[Any]] = set()

    async def read(self, messages: AsyncIterator[_Message]) -> AsyncIterator[_Message]:
        """The messages of a stream.

        Raises
        ------
        NotReadyError : the server ends; what was read before is to be answered.
        """
        task = asyncio.current_task()
        assert task is not None
        try:
            while True:
                self._waiting.add(task)
                try:
                    message = await anext(messages)
                except StopAsyncIteration:
                    return
                finally:
                    self._waiting.discard(task)
                yield message
        except asyncio.CancelledError:
            if task not in self._ended:
                raise
            task.uncancel()
            raise NotReadyError("the server is shutting down; send what was not answered to another one") from None
        finally:
            self._ended.discard(task)

    def end_waiting(self) -> None:
        """End the streams that wait for a message; what they have asked for is still answered."""
        for task in self._waiting:
            self._ended.add(task)
            task.cancel()
