"""The client over HTTP: sends JSON columns, receives arrays."""

import json
import socket
import ssl
import threading
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from typing import Any
from weakref import WeakSet

import httpx
import orjson
from zdc_common.errors import (
    ConfigError,
    DeadlineError,
    ForbiddenError,
    NotReadyError,
    OverloadedError,
    TooLargeError,
    UnauthenticatedError,
    ZdcError,
)
from zdc_detector.finish import Finish
from zdc_detector.frames import Frame
from zdc_detector.hits import Hits

from zdc_service.access.loopback import is_loopback
from zdc_service.client.base import Client
from zdc_service.client.errors import error_of, too_late, unreachable
from zdc_service.client.model_facts import ModelFacts, read_calorimeter
from zdc_service.client.options import ClientOptions
from zdc_service.client.proxies import http_proxy
from zdc_service.client.transports.columns import columns_to_send
from zdc_service.client.transports.credentials import Credentials
from zdc_service.client.transports.replies import broken, check_reply
from zdc_service.codecs import ARRAYS, ARRAYS_HEADER, JSON, ZSTD, split_arrays
from zdc_service.deadlines import TIMEOUT_HEADER
from zdc_service.simulation import SimulationRequest, SimulationResult

SIMULATE_PATH = "/simulate"


#: Long enough for one or two lost packets; a host that has not accepted the connection by then is down.
_CONNECT_SECONDS = 10.0


class HttpEndpoint:
    """A server's address and options, and the conversion of its replies; both clients over HTTP use it."""

    def __init__(self, url: str, options: ClientOptions, credentials: Credentials):
        self.url = url
        self.timeout_seconds = options.timeout_seconds
        self.connect_seconds = min(options.timeout_seconds, _CONNECT_SECONDS)
        self.limits = httpx.Limits(max_connections=options.in_flight, max_keepalive_connections=options.in_flight)
        # Without a context there is no TLS, and httpx need not load the system's certificate authorities.
        self.verify: ssl.SSLContext | bool = credentials.context or False
        self._credentials = credentials
        self._proxy = http_proxy(url)
        # By itself, httpx would use a proxy for this machine too, and raise an error for a proxy that it cannot use.
        self.connection: dict[str, Any] = {"proxy": self._usable_proxy(), "trust_env": False}
        # Compression to a tenth of the bytes pays on a network, but not within a machine.
        coding = "identity" if is_loopback(_host(url)) else ZSTD
        # The server's deadline is a second later, so that the client's always comes first. The server needs one: a
        # proxy may not tell it that the client has disconnected.
        deadline = f"{(options.timeout_seconds + 1) * 1000:.0f}"
        self._headers = {"Content-Type": JSON, "Accept": ARRAYS, "Accept-Encoding": coding, TIMEOUT_HEADER: deadline}

    def _usable_proxy(self) -> httpx.Proxy | None:
        if self._proxy is None:
            return None
        if self._proxy.url.startswith("socks") and find_spec("socksio") is None:
            raise ConfigError(
                f"{self.url}: {self._proxy}; SOCKS needs pip install 'httpx[socks]', or set "
                f"no_proxy={self._proxy.host} to connect without the proxy"
            )
        try:
            return httpx.Proxy(self._proxy.url)
        except (httpx.InvalidURL, ValueError) as error:
            raise ConfigError(f"{self.url}: {self._proxy}, which is not a valid address: {str(error)[:100]}") from error

    def headers(self) -> dict[str, str]:
        """Headers of one request; raises ConfigError if the token's file can no longer be read."""
        return self._headers | self._credentials.authorization()

    def result(self, request: SimulationRequest, reply: httpx.Response, body: bytearray) -> SimulationResult:
        """The result in a reply; raises the ZdcError that the server reports, or one for an incomplete reply."""
        self._check(reply, body)
        kind = reply.headers.get("Content-Type")
        if kind != ARRAYS:
            raise ZdcError(f"{self.url}: the answer is {kind}, not {ARRAYS}; this is not a zdc-fastsim server")
        try:
            result = _result(reply.headers, body)
        except (ValueError, KeyError, TypeError) as error:
            raise broken(self.url, str(error)) from error
        check_reply(self.url, request, result)
        return result

    def facts(self, reply: httpx.Response) -> ModelFacts:
        """The facts in a reply with a model's card; raises the ZdcError that the server reports."""
        self._check(reply, reply.content)
        try:
            card = orjson.loads(reply.content)
            sha256, calorimeter = str(card["graph_sha256"]), orjson.dumps(card["calorimeter"])
        except (ValueError, KeyError, TypeError) as error:
            raise ZdcError(f"{self.url}: the answer is not a model's card; this is not a zdc-fastsim server") from error
        return ModelFacts(sha256, read_calorimeter(self.url, calorimeter))

    def _check(self, reply: httpx.Response, body: bytes | bytearray) -> None:
        if reply.status_code != httpx.codes.OK:
            error = self._refusal(reply, body)
            error.retry_after_seconds = retry_after_seconds(reply.headers.get("Retry-After"), time.time())
            raise error

    def error(self, error: httpx.RequestError) -> ZdcError:
        """The error for a request without a reply."""
        if isinstance(error, httpx.ConnectTimeout) and self.connect_seconds < self.timeout_seconds:
            text = f"no connection within {self.connect_seconds:g} s"
            return self._unreachable(text)
        if isinstance(error, httpx.TimeoutException):
            return too_late(self.url, self.timeout_seconds)
        if isinstance(error, httpx.TransportError):
            return self._unreachable(str(error) or type(error).__name__)
        return ZdcError(f"{self.url}: the answer cannot be read: {error}")

    def _unreachable(self, text: str) -> ZdcError:
        return unreachable(self.url, text, self._credentials.context is not None, self._proxy)

    def _refusal(self, reply: httpx.Response, body: bytes | bytearray) -> ZdcError:
        try:
            error = orjson.loads(body)["error"]
            return error_of(error["kind"], error["message"])
        except (ValueError, KeyError, TypeError):  # an error page of a proxy, or another kind of server
            text = f"{self.url}: HTTP {reply.status_code} {reply.reason_phrase}"
            if "Location" in reply.headers:
                text += f"; the server redirects to {reply.headers['Location']}"
            if self._proxy is not None:
                text += f"; {self._proxy}: {self._proxy.remedy}"
            return _FOREIGN.get(reply.status_code, ZdcError)(text)


#: The errors for replies without an error in our format, e.g. from a proxy.
_FOREIGN: dict[int, type[ZdcError]] = {
    401: UnauthenticatedError,
    403: ForbiddenError,
    413: TooLargeError,
    429: OverloadedError,
    502: NotReadyError,
    503: NotReadyError,
    504: DeadlineError,
}


def _host(url: str) -> str:
    try:
        return httpx.URL(url).host
    except httpx.InvalidURL as error:
        raise ConfigError(f"server {url!r} is not a valid address: {error}") from error


def retry_after_seconds(value: str | None, now: float) -> float | None:
    """The time after which a server accepts a retry.

    Parameters
    ----------
    value : The header Retry-After: seconds, or a date (RFC 9110, section 10.2.3).
    now : `time.time`.

    Returns
    -------
    Seconds from now, not negative; None if the header is absent or invalid.
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
    """Sends POST requests to ``<url>/simulate`` over a pool of persistent connections."""

    def __init__(self, url: str, options: ClientOptions, credentials: Credentials):
        super().__init__(options, url)
        self._server = server = HttpEndpoint(url, options, credentials)
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._sockets_lock = threading.Lock()
        timeout = httpx.Timeout(server.timeout_seconds, connect=server.connect_seconds)
        self._http = httpx.Client(
            base_url=url, timeout=timeout, limits=server.limits, verify=server.verify, **server.connection
        )

    def _exchange(self, request: SimulationRequest) -> SimulationResult:
        server, body = self._server, bytearray()
        content, headers, extensions = json_of_request(request), server.headers(), {"trace": self._remember_socket}
        until = time.monotonic() + server.timeout_seconds
        try:
            with self._http.stream(
                "POST", SIMULATE_PATH, content=content, headers=headers, extensions=extensions
            ) as reply:
                for piece in reply.iter_bytes():
                    body += piece
                    if time.monotonic() > until:  # httpx limits the wait for each piece, not for the whole reply
                        raise too_late(server.url, server.timeout_seconds)
        except httpx.RequestError as error:
            raise server.error(error) from error
        return server.result(request, reply, body)

    def facts(self, model: str, version: int) -> ModelFacts:
        """As `Client.facts`."""
        try:
            reply = self._http.get(f"/models/{model}/{version}", headers=self._server.headers() | {"Accept": JSON})
        except httpx.RequestError as error:
            raise self._server.error(error) from error
        return self._server.facts(reply)

    def _remember_socket(self, event: str, info: dict[str, Any]) -> None:
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            with self._sockets_lock:
                self._sockets.add(info["return_value"].get_extra_info("socket"))
            if self._closing.is_set():
                self._disconnect()

    def _disconnect(self) -> None:
        with self._sockets_lock:
            sockets = list(self._sockets)
        for connection in sockets:  # closing the pool does not wake the threads that wait for replies
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the requests in flight and disconnect. The client cannot be used again; a second call does nothing."""
        super().close()
        if not self._is_copy():
            self._http.close()  # last: a connection that a request opens while the pool closes would stay open


def json_of_request(request: SimulationRequest) -> bytes:
    """Convert a request to the body of a POST request."""
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
    if request.frame is not Frame.VERTEX:  # servers of before do not know the option
        body["frame"] = request.frame.value
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def _result(headers: httpx.Headers, body: bytearray) -> SimulationResult:
    """Decode arrays as `zdc_service.codecs.encode` writes them; they share the body's memory."""
    arrays = split_arrays(memoryview(body), headers[ARRAYS_HEADER])
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
        frame=Frame(headers.get("X-Zdc-Frame", Frame.VERTEX)),
    )
