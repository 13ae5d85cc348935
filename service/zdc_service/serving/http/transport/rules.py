"""What holds for all connections of a server."""

import asyncio
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING

from starlette.types import ASGIApp
from zdc_common.errors import OverloadedError

from zdc_service.serving.budget import ByteBudget
from zdc_service.serving.http.errors import error_reply
from zdc_service.serving.http.reply import Reply

if TYPE_CHECKING:
    from zdc_service.serving.http.transport.cycle import Cycle


@dataclass
class ConnectionRules:
    """What holds for all connections of a server.

    Attributes
    ----------
    app : Answers requests.
    no_room : Answers on connections that are too many.
    max_connections, header_seconds, body_seconds, idle_seconds, body_limit : As `ServerSettings` has them.
    budget : Of bodies and answers that are held.
    tls : Whether connections are encrypted.
    closing : Whether answers say that the connection ends with them.
    tasks : Requests that are being answered.
    unread : Large answers that are being read, and since when; the oldest first.
    date : The header of that name, as a line.
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
    unread: "dict[Cycle, float]" = field(default_factory=dict)
    date: bytes = b""

    def __post_init__(self) -> None:
        self.set_date()

    @property
    def interval(self) -> float:
        """Seconds between two looks at a connection, which cost less than a timer for each request."""
        return min(1.0, min(self.header_seconds, self.body_seconds, self.idle_seconds) / 4)

    def full(self, path: str) -> Reply:
        """The answer if the budget has no room for the body or the answer of a request for `path`."""
        message = f"bodies and unread answers fill the {self.budget.limit} bytes of --max-held-bytes; try again"
        return error_reply(OverloadedError(message), path)

    def make_room(self, now: float) -> None:
        """Cut off the caller who has been reading for longest, if that is longer than `body_seconds`."""
        for cycle, since in self.unread.items():
            if now - since > self.body_seconds:
                cycle.cut_off()
            return

    def set_date(self) -> None:
        """Keep the Date header right."""
        self.date = b"date: %s\r\n" % formatdate(usegmt=True).encode()
