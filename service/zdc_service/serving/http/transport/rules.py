"""Settings and state that all connections of a server share."""

import asyncio
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Protocol

from starlette.types import ASGIApp
from zdc_common.errors import OverloadedError

from zdc_service.serving.budget import ByteBudget
from zdc_service.serving.http.errors import error_reply
from zdc_service.serving.http.reply import Reply


class UnreadAnswer(Protocol):
    """An answer that a client is still reading."""

    def cut_off(self) -> None:
        """Close its connection at once."""


@dataclass
class ConnectionRules:
    """Settings and state that all connections of a server share.

    Attributes
    ----------
    app : Answers requests.
    no_room : Answers requests on connections above the maximum number.
    max_connections, header_seconds, body_seconds, idle_seconds, body_limit : See `ServerSettings`.
    budget : Limits the bytes of bodies and answers in memory.
    tls : Whether connections are encrypted.
    closing : Whether every answer closes its connection, because the server shuts down.
    tasks : Requests that are being answered.
    unread : Large answers that clients are still reading, with the time when each began; the oldest first.
    date : The line of the Date header.
    """

    app: ASGIApp
    no_room: ASGIApp
    max_connections: int
    header_seconds: float
    body_seconds: float
    idle_seconds: float
    body_limit: int
    budget: ByteBudget
    tls: bool
    closing: bool = False
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    unread: dict[UnreadAnswer, float] = field(default_factory=dict)
    date: bytes = b""

    def __post_init__(self) -> None:
        self.set_date()

    @property
    def interval(self) -> float:
        """Seconds between two checks of a connection. Such checks cost less than one timer for each request."""
        return min(1.0, min(self.header_seconds, self.body_seconds, self.idle_seconds) / 4)

    def full(self, path: str) -> Reply:
        """The refusal of a request for `path` if the budget has no room for its body or answer."""
        message = f"bodies and unread answers fill the {self.budget.limit} bytes of --max-held-bytes; try again"
        return error_reply(OverloadedError(message), path)

    def make_room(self, now: float) -> None:
        """Disconnect the client that has been reading its answer for longest, if longer than `body_seconds`."""
        for cycle, since in self.unread.items():
            if now - since > self.body_seconds:
                cycle.cut_off()
            return

    def set_date(self) -> None:
        """Update the Date header."""
        self.date = b"date: %s\r\n" % formatdate(usegmt=True).encode()
