"""How clients talk to their servers."""

import math
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path

from zdc_common.errors import ConfigError


@dataclass(frozen=True)
class ClientOptions:
    """How a client talks to its server.

    Attributes
    ----------
    rows_per_request : Most rows of one request; larger jobs are split, which changes no result.
    in_flight : Requests under way at the same time, so that the server computes while answers travel.
    timeout_seconds : Deadline of one request; also how long it is offered again to a server whose queue is full.
    retry_seconds : How long a request is offered again where no server answers, at growing intervals; the first
        failure is logged at once. A request names its seed and rows, so that asking again is safe.
    keepalive_seconds : Over gRPC, a server that sends nothing for so long while a request is under way is asked for a
        sign of life; without one within 20 s the connection counts as broken. 0 never asks. A server ends connections
        that ask more often than it allows (``--grpc-ping-seconds``, 5 by default).
    ca_file : PEM file of the authorities that may sign a server's certificate; default: those that the system trusts.
    client_certificate, client_key : PEM files of the caller's own certificate, for servers that ask for one.
    token_file : File with the caller's bearer token, read for each request, so that it may be replaced meanwhile.

    Raises
    ------
    ConfigError : a number that cannot be.
    """

    rows_per_request: int = 1024
    in_flight: int = 4
    timeout_seconds: float = 120.0
    retry_seconds: float = 10.0
    keepalive_seconds: float = 60.0
    ca_file: Path | str | None = None
    client_certificate: Path | str | None = None
    client_key: Path | str | None = None
    token_file: Path | str | None = None

    def __post_init__(self) -> None:
        for name, most in (("rows_per_request", _MOST_ROWS), ("in_flight", _MOST_IN_FLIGHT)):
            number = getattr(self, name)
            if not isinstance(number, Integral) or not 1 <= int(number) <= most:
                raise ConfigError(f"{name} = {number!r} must be a whole number from 1 to {most}")
        timeout, retry, keepalive = self.timeout_seconds, self.retry_seconds, self.keepalive_seconds
        if not isinstance(timeout, Real) or not 0 < timeout <= _LONGEST:
            raise ConfigError(f"timeout_seconds = {timeout!r} must be above 0 and at most {_LONGEST:.0f}")
        if not isinstance(retry, Real) or not 0 <= retry <= math.inf:
            raise ConfigError(f"retry_seconds = {retry!r} must be 0 or more; math.inf is allowed")
        if not isinstance(keepalive, Real) or not (keepalive == 0 or 1 <= keepalive <= _LONGEST / 30):
            raise ConfigError(f"keepalive_seconds = {keepalive!r} must be 0, or at least 1 and at most a day (86400)")


#: A number in a message, and one that has a thread each.
_MOST_ROWS, _MOST_IN_FLIGHT = 2**31 - 1, 1000

#: A month: sockets and gRPC refuse, or misread, what is much longer.
_LONGEST = 30 * 86400.0
