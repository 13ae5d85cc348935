"""Reads messages from clients and sends answers to them, with limits on time and on bytes in memory."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, TypeVar

import grpc.aio
from google.protobuf.message import DecodeError
from zdc_common.errors import (
    DeadlineError,
    InvalidInputError,
    NotReadyError,
    OverloadedError,
    TooLargeError,
    ZdcError,
)

from zdc_service.serving.budget import ByteBudget
from zdc_service.serving.rpc.calls import Context, caller_may_be_gone
from zdc_service.serving.rpc.connections import cut

log = logging.getLogger(__name__)

_Message = TypeVar("_Message")
#: Time within which gRPC reports that a call was cancelled.
_CANCELLATION_SECONDS = 0.05

_Task: TypeAlias = "asyncio.Task[Any]"


def parse(kind: type[_Message], data: bytes) -> _Message:
    """Parse a protobuf message; raises InvalidInputError if the bytes are not a message of this type."""
    try:
        return kind.FromString(data)  # type: ignore[attr-defined,no-any-return]
    except DecodeError:
        name = kind.DESCRIPTOR.full_name  # type: ignore[attr-defined]
        raise InvalidInputError(
            f"the message of {len(data)} bytes is not a valid {name}; generate the client from the server's proto files"
        ) from None


@dataclass
class _Unread:
    """An answer that its client has not read."""

    since: float
    context: Context
    give_up: Callable[[ZdcError], None] | None = None
    late: bool = False


class Callers:
    """Reads messages and sends answers.

    A client has `seconds` to send the first message of a call, and to read each answer. Between two messages a stream
    may be idle for any time. `look` finds the clients that are too late.

    Attributes
    ----------
    budget : Limits the bytes of the answers that clients have not read.
    """

    def __init__(self, budget: ByteBudget, seconds: float):
        self.budget = budget
        self._seconds = seconds
        self._sending: dict[_Task, float] = {}  # calls that wait for their first message, with the time of their start
        self._idle: dict[_Task, float] = {}  # the same for streams that wait for a further message
        self._unread: dict[_Task, _Unread] = {}
        self._interrupted: dict[_Task, ZdcError] = {}  # calls whose wait was ended, with the reason

    async def message(self, kind: type[_Message], context: Context, most: int | None = None) -> _Message:
        """The message of a call that has exactly one.

        Raises
        ------
        TooLargeError : the message has more than `most` bytes.
        DeadlineError : the message does not arrive in time.
        InvalidInputError : there is no message, or it is not of this type.
        """
        data = await self._read(context, self._sending)
        if data is grpc.aio.EOF:
            # gRPC reports the same if the client has left or the message was refused; then a cancellation follows.
            await asyncio.sleep(_CANCELLATION_SECONDS)
            raise InvalidInputError(
                f"the call has no message; send one {kind.DESCRIPTOR.full_name}"  # type: ignore[attr-defined]
            )
        if most is not None and len(data) > most:
            raise TooLargeError(f"the message has {len(data)} bytes; this method accepts at most {most}")
        return parse(kind, data)

    async def messages(self, kind: type[_Message], context: Context) -> AsyncIterator[_Message]:
        """The messages of a stream.

        Raises
        ------
        DeadlineError : the first message does not arrive in time.
        InvalidInputError : a message is not of this type.
        NotReadyError : the server shuts down; the caller must still answer the messages read before.
        """
        waiting = self._sending
        while (data := await self._read(context, waiting)) is not grpc.aio.EOF:
            yield parse(kind, data)
            waiting = self._idle

    async def send(self, context: Context, reply: bytes, give_up: Callable[[ZdcError], None] | None = None) -> None:
        """Write one reply of a stream; raises CancelledError if the client has left.

        Parameters
        ----------
        context : Context of the call.
        reply : The serialized reply.
        give_up : Called with the reason if the client does not read in time; must free everything else that the stream
            holds. This reply itself cannot be taken back from gRPC.
        """
        task = _current()
        self._unread[task] = _Unread(time.monotonic(), context, give_up)
        try:
            with caller_may_be_gone():
                await context.write(reply)
        finally:
            del self._unread[task]

    def hand_over(self, context: Context, reply: bytes) -> bytes:
        """Count the reply that a method returns in the budget, until its client has read it.

        Raises
        ------
        OverloadedError : too many bytes are held for clients that do not read.
        """
        size = len(reply)
        if not self.budget.take(size):
            self.make_room()
            raise OverloadedError(
                f"{self.budget.held} bytes of answers wait for slow clients, and {size} more would exceed the limit of "
                f"{self.budget.limit}; try again later"
            )
        task = _current()
        self._unread[task] = _Unread(time.monotonic(), context)
        task.add_done_callback(partial(self._handed_over, size))
        return reply

    def look(self) -> None:
        """End the calls of clients that are too late."""
        since = time.monotonic() - self._seconds
        for task in [task for task, began in self._sending.items() if began < since]:
            self._interrupt(task, DeadlineError(f"the message did not arrive within {self._seconds:g} s"))
        for one in [one for one in self._unread.values() if one.since < since and not one.late]:
            one.late = True
            if one.give_up is not None:
                one.give_up(DeadlineError(f"an answer was not read within {self._seconds:g} s"))

    def make_room(self) -> None:
        """Close the connections of clients that read too late; to be called if the budget has no room for others."""
        late = {one.context.peer() for one in self._unread.values() if one.late}
        for peer in late:
            log.warning("closed the gRPC connection %s: an answer was not read within %g s", peer, self._seconds)
            cut(peer)

    def end_waiting(self) -> None:
        """End the streams that wait for a message; requests that have arrived are still answered."""
        for task in [*self._sending, *self._idle]:
            self._interrupt(
                task, NotReadyError("the server is shutting down; send the unanswered requests to another server")
            )

    async def _read(self, context: Context, waiting: dict[_Task, float]) -> Any:
        task = _current()
        waiting[task] = time.monotonic()
        try:
            return await context.read()
        except asyncio.CancelledError:
            error = self._interrupted.get(task)
            if error is None:
                raise
            task.uncancel()
            raise error from None
        finally:
            del waiting[task]
            self._interrupted.pop(task, None)

    def _interrupt(self, task: _Task, error: ZdcError) -> None:
        if task not in self._interrupted:
            self._interrupted[task] = error
            task.cancel()

    def _handed_over(self, size: int, task: _Task) -> None:
        self.budget.give_back(size)
        del self._unread[task]


def _current() -> _Task:
    task = asyncio.current_task()
    assert task is not None
    return task
