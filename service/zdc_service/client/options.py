"""How clients talk to their servers."""

from dataclasses import dataclass
from pathlib import Path


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
    ca_file : PEM file of the authorities that may sign a server's certificate; default: those that the system trusts.
    client_certificate, client_key : PEM files of the caller's own certificate, for servers that ask for one.
    token_file : File with the caller's bearer token, read for each request, so that it may be replaced meanwhile.
    """

    rows_per_request: int = 1024
    in_flight: int = 4
    timeout_seconds: float = 120.0
    retry_seconds: float = 10.0
    ca_file: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    token_file: Path | None = None
