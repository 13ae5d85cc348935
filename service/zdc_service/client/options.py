"""Options of the clients for a server."""

import math
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path

from zdc_common.errors import ConfigError


@dataclass(frozen=True)
class ClientOptions:
    """Limits, timeouts and credentials of a client.

    Attributes
    ----------
    rows_per_request : Maximum number of rows per request. Larger jobs are split, which does not change the result.
    in_flight : Maximum number of requests in flight, so that the server computes while results are transferred.
    timeout_seconds : Deadline of one request [s]; also how long the client retries while the server's queue is full.
    retry_seconds : How long the client retries a request while no server answers [s], with growing pauses; the first
        failure is logged. A request names its seed and rows, so that a retry returns the same result.
    keepalive_seconds : gRPC only: if the server sends nothing for this time [s] during a request, the client pings it.
        Without a reply to the ping within 20 s, the connection counts as broken. 0 disables pings. A server closes
        connections that ping more often than it allows (``--grpc-ping-seconds``, 5 by default).
    ca_file : PEM file of the authorities that sign server certificates; default: the authorities that the system
        trusts.
    client_certificate, client_key : PEM files of the client's certificate and key, for servers that require one.
    token_file : File with the client's bearer token. It is read for each request, so it can be replaced at any time.

    Raises
    ------
    ConfigError : a number is outside its range.
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
            raise ConfigError(f"retry_seconds = {retry!r} must be at least 0; math.inf is allowed")
        if not isinstance(keepalive, Real) or not (keepalive == 0 or 1 <= keepalive <= _LONGEST / 30):
            raise ConfigError(f"keepalive_seconds = {keepalive!r} must be 0, or from 1 to {_LONGEST / 30:.0f} (a day)")


#: The wire format holds repeats in 31 bits; each request in flight has a thread.
_MOST_ROWS, _MOST_IN_FLIGHT = 2**31 - 1, 1000

#: 30 days; sockets and gRPC refuse or misread much longer times.
_LONGEST = 30 * 86400.0
