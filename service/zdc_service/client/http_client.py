"""Simulation by a server over HTTP: JSON columns there, arrays back."""

import json
import socket
import ssl
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any
from weakref import WeakSet

import httpx
import orjson
from zdc_detector.errors import NotReadyError, OverloadedError, ZdcError
from zdc_detector.finish import Finish

from zdc_service.client.base import Client
from zdc_service.client.columns import columns_to_send
from zdc_service.client.credentials import Credentials
from zdc_service.client.errors import error_of, too_late, unreachable
from zdc_service.client.options import ClientOptions
from zdc_service.codecs import ARRAYS, ARRAYS_HEADER, JSON, split_arrays
from zdc_service.simulation import Hits, SimulationRequest, SimulationResult

SIMULATE_PATH = "/simulate"


class HttpServer:
    """What both clients over HTTP know of their server."""

    def __init__(self, url: str, options: ClientOptions, credentials: Credentials):
        self.url = url
        self.timeout_seconds = options.timeout_seconds
        self.limits = httpx.Limits(max_connections=options.in_flight, max_keepalive_connections=options.in_flight)
        # Without a context the address is plain, and httpx need not read the system's authorities.
        self.verify: ssl.SSLContext | bool = credentials.context or False
        self._credentials = credentials

    def headers(self) -> dict[str, str]:
        """Of one request; raises ConfigError where the file of the token cannot be read any more."""
        return {"Content-Type": JSON, "Accept": ARRAYS} | self._credentials.authorization()

    def result(self, reply: httpx.Response) -> SimulationResult:
        """What was answered; raises the ZdcError that a refusal means."""
        if reply.status_code != httpx.codes.OK:
            error = self._refusal(reply)
            error.retry_after_seconds = retry_after_seconds(reply.headers.get("Retry-After"), time.time())
            raise error
        return _result(reply)

    def error(self, error: httpx.TransportError) -> ZdcError:
        """What a request without an answer means."""
        if isinstance(error, httpx.TimeoutException):
            return too_late(self.url, self.timeout_seconds)
        return unreachable(self.url, str(error) or type(error).__name__, tls=self._credentials.context is not None)

    def _refusal(self, reply: httpx.Response) -> ZdcError:
        try:
            error = reply.json()["error"]
            return error_of(error["kind"], error["message"])
        except (ValueError, KeyError, TypeError):  # a proxy's page, or another kind of server
            text = f"{self.url}: HTTP {reply.status_code} {reply.reason_phrase}"
            return _FOREIGN.get(reply.status_code, ZdcError)(text)


#: Refusals that pass, of proxies.
_FOREIGN: dict[int, type[ZdcError]] = {429: OverloadedError, 502: NotReadyError, 503: NotReadyError}


def retry_after_seconds(value: str | None, now: float) -> float | None:
    """When a server wants to be asked again.

    Parameters
    ----------
    value : The header Retry-After: seconds, or a date (RFC 9110, section 10.2.3).
    now : `time.time`.

    Returns
    -------
    Seconds from now, not negative; None where there is no such header, or nothing that can be read.
    """
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except ValueError:
        return None


class HttpClient(Client):
    """Posts to ``<url>/simulate`` over a pool of kept connections."""

    def __init__(self, url: str, options: ClientOptions, credentials: Credentials):
        super().__init__(options)
        self._server = HttpServer(url, options, credentials)
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._http = httpx.Client(
            base_url=url, timeout=options.timeout_seconds, limits=self._server.limits, verify=self._server.verify
        )

    def _exchange(self, request: SimulationRequest) -> SimulationResult:
        try:
            reply = self._http.post(
                SIMULATE_PATH,
                content=json_of_request(request),
                headers=self._server.headers(),
                extensions={"trace": self._remember_socket},
            )
        except httpx.TransportError as error:
            raise self._server.error(error) from error
        return self._server.result(reply)

    def _remember_socket(self, event: str, info: dict[str, Any]) -> None:
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._sockets.add(info["return_value"].get_extra_info("socket"))
            if self._closing.is_set():
                self._disconnect()

    def _disconnect(self) -> None:
        for connection in list(self._sockets):  # closing the pool alone wakes no thread that waits for an answer
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End what is under way and disconnect; the client is of no use afterwards."""
        super().close()
        self._http.close()  # last: a connection that a request makes while the pool closes would stay open


def json_of_request(request: SimulationRequest) -> bytes:
    """A request as the body of a POST."""
    body: dict[str, Any] = {
        "particles": columns_to_send(request.particles),
        "seed": request.seed,
        "first_row": request.first_row,
        "repeats": request.repeats,
        "output": request.output.value,
        "out_of_range": request.out_of_range.value,
        "rates": request.rates,
        "model": request.model,
        "version": request.version,
    }
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def _result(reply: httpx.Response) -> SimulationResult:
    """The inverse of `zdc_service.codecs.encode` as arrays; they share the reply's memory."""
    headers = reply.headers
    arrays = split_arrays(reply.content, headers[ARRAYS_HEADER])
    hits = None
    if "hits_offsets" in arrays:
        hits = Hits(arrays["hits_offsets"], arrays["hits_fibre"], arrays["hits_photons"])
    rows, columns = (int(n) for n in headers["X-Zdc-Shape"].split(","))
    return SimulationResult(
        model=headers["X-Zdc-Model"],
        version=int(headers["X-Zdc-Version"]),
        seed=int(headers["X-Zdc-Seed"]),
        first_row=int(headers["X-Zdc-First-Row"]),
        repeats=int(headers["X-Zdc-Repeats"]),
        finish=Finish(headers["X-Zdc-Finish"]),
        shape=(rows, columns),
        channel_names=tuple(headers["X-Zdc-Channels"].split(",")),
        particle=arrays["particle"],
        side=arrays["side"],
        channels=arrays["channels"],
        response=arrays.get("response"),
        hits=hits,
        skipped=json.loads(headers.get("X-Zdc-Skipped", "{}")),
        extrapolated=json.loads(headers.get("X-Zdc-Extrapolated", "{}")),
    )
