"""What holds for all connections of a server."""

import asyncio
from dataclasses import dataclass, field
from email.utils import formatdate

from starlette.types import ASGIApp

from zdc_service.budget import ByteBudget


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
    date: bytes = b""

    def __post_init__(self) -> None:
        self.set_date()

    @property
    def interval(self) -> float:
        """Seconds between two looks at a connection, which cost less than a timer for each request."""
        return min(1.0, min(self.header_seconds, self.body_seconds, self.idle_seconds) / 4)

    def set_date(self) -> None:
        """Keep the Date header right."""
        self.date = b"date: %s\r\n" % formatdate(usegmt=True).encode()
