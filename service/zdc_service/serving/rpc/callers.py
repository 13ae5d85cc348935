"""What the server awaits from callers, messages and the reading of answers: for how long, and how many bytes of it."""

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
#: Within which gRPC tells a call that it is cancelled.
_CANCELLATION_SECONDS = 0.05

_Task: TypeAlias = "asyncio.Task[Any]"


def parse(kind: type[_Message], data: bytes) -> _Message:
    """A message from its bytes; raises InvalidInputError if they are none of its kind."""
    try:
        return kind.FromString(data)  # type: ignore[attr-defined,no-any-return]
    except DecodeError:
        name = kind.DESCRIPTOR.full_name  # type: ignore[attr-defined]
        raise InvalidInputError(
            f"the message of {len(data)} bytes is no {name}; is the client made from this server's proto files?"
        ) from None


@dataclass
class _Unread:
    """An answer that its caller has not read."""

    since: float
    context: Context
    give_up: Callable[[ZdcError], None] | None = None
    late: bool = False


class Callers:
    """Reads messages and hands over answers.

    A caller has `seconds` for the first message of a call, and for the reading of each answer. Between two messages a
    stream may be idle for as long as its caller likes. Callers who are late are noticed by `look`.

    Attributes
    ----------
    budget : Bytes of the answers that callers have not read.
    """

    def __init__(self, budget: ByteBudget, seconds: float):
        self.budget = budget
        self._seconds = seconds
        self._sending: dict[_Task, float] = {}  # since when a call's first message is awaited
        self._idle: dict[_Task, float] = {}  # the same of streams between two messages
        self._unread: dict[_Task, _Unread] = {}
        self._interrupted: dict[_Task, ZdcError] = {}  # why one of the first two was ended

    async def message(self, kind: type[_Message], context: Context, most: int | None = None) -> _Message:
        """The one message of a call.

        Raises
        ------
        TooLargeError : it has more than `most` bytes.
        DeadlineError : it does not arrive in time.
        InvalidInputError : there is none, or it is not of this kind.
        """
        data = await self._read(context, self._sending)
        if data is grpc.aio.EOF:
            # It looks the same if the caller is gone, or if gRPC refused the message; then a cancellation follows.
            await asyncio.sleep(_CANCELLATION_SECONDS)
            raise InvalidInputError(f"the call has no {kind.DESCRIPTOR.full_name}")  # type: ignore[attr-defined]
        if most is not None and len(data) > most:
            raise TooLargeError(f"the message has {len(data)} bytes; this method takes at most {most}")
        return parse(kind, data)

    async def messages(self, kind: type[_Message], context: Context) -> AsyncIterator[_Message]:
        """The messages of a stream.

        Raises
        ------
        DeadlineError : the first does not arrive in time.
        InvalidInputError : one is not of this kind.
        NotReadyError : the server ends; what was read before is to be answered.
        """
        waiting = self._sending
        while (data := await self._read(context, waiting)) is not grpc.aio.EOF:
            yield parse(kind, data)
            waiting = self._idle

    async def send(self, context: Context, reply: bytes, give_up: Callable[[ZdcError], None] | None = None) -> None:
        """Write one reply of a stream; raises CancelledError if the caller is gone.

        Parameters
        ----------
        context : Of the call.
        reply : Serialized.
        give_up : Called with the reason if the caller does not read in time; is to free what else the stream holds.
            This reply stays where it is, in gRPC, which takes nothing back.
        """
        task = _current()
        self._unread[task] = _Unread(time.monotonic(), context, give_up)
        try:
            with caller_may_be_gone():
                await context.write(reply)
        finally:
            del self._unread[task]

    def hand_over(self, context: Context, reply: bytes) -> bytes:
        """Count the reply that a method returns until its caller has read it.

        Raises
        ------
        OverloadedError : too many bytes are held for callers who do not read.
        """
        size = len(reply)
        if not self.budget.take(size):
            self.make_room()
            raise OverloadedError(
                f"{self.budget.held} bytes of answers wait for callers who read slowly, and {size} more would pass the "
                f"limit of {self.budget.limit}; try again later"
            )
        task = _current()
        self._unread[task] = _Unread(time.monotonic(), context)
        task.add_done_callback(partial(self._handed_over, size))
        return reply

    def look(self) -> None:
        """End the calls of callers who are late."""
        since = time.monotonic() - self._seconds
        for task in [task for task, began in self._sending.items() if began < since]:
            self._interrupt(task, DeadlineError(f"the message did not arrive within {self._seconds:g} s"))
        for one in [one for one in self._unread.values() if one.since < since and not one.late]:
            one.late = True
            if one.give_up is not None:
                one.give_up(DeadlineError(f"an answer was not read within {self._seconds:g} s"))

    def make_room(self) -> None:
        """Close the connections of callers who are late to read; to be called when others find no room."""
        late = {one.context.peer() for one in self._unread.values() if one.late}
        for peer in late:
            log.warning("the gRPC connection %s is closed: an answer was not read within %g s", peer, self._seconds)
            cut(peer)

    def end_waiting(self) -> None:
        """End the streams that wait for a message; what they have asked for is still answered."""
        for task in [*self._sending, *self._idle]:
            self._interrupt(
                task, NotReadyError("the server is shutting down; send what was not answered to another one")
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
