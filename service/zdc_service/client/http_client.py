"""Simulation by a server over HTTP: JSON columns there, arrays back."""

import json
import socket
from contextlib import suppress
from typing import Any
from weakref import WeakSet

import httpx
import orjson
from zdc_detector.errors import DeadlineError, NotReadyError, ZdcError
from zdc_detector.finish import Finish

from zdc_service.client.base import Client, ClientOptions
from zdc_service.client.columns import columns_to_send
from zdc_service.client.credentials import Credentials, unreachable
from zdc_service.client.errors import error_of
from zdc_service.codecs import ARRAYS, ARRAYS_HEADER, JSON, split_arrays
from zdc_service.simulation import Hits, SimulationRequest, SimulationResult


class HttpClient(Client):
    """Posts to ``<url>/simulate`` over a pool of kept connections."""

    def __init__(self, url: str, options: ClientOptions, credentials: Credentials):
        super().__init__(options)
        self._url = url
        self._credentials = credentials
        limits = httpx.Limits(max_connections=options.in_flight, max_keepalive_connections=options.in_flight)
        self._sockets: WeakSet[socket.socket] = WeakSet()
        # Without a context the address is plain, and httpx need not read the system's authorities.
        self._http = httpx.Client(
            base_url=url, timeout=options.timeout_seconds, limits=limits, verify=credentials.context or False
        )

    def _exchange(self, request: SimulationRequest) -> SimulationResult:
        try:
            reply = self._http.post(
                "/simulate",
                content=_to_json(request),
                headers={"Content-Type": JSON, "Accept": ARRAYS} | self._credentials.authorization(),
                extensions={"trace": self._remember_socket},
            )
        except httpx.TimeoutException as error:
            seconds = self._options.timeout_seconds
            raise DeadlineError(f"{self._url}: no answer within {seconds:g} s; send fewer rows in a request") from error
        except httpx.TransportError as error:
            tls = self._credentials.context is not None
            raise unreachable(self._url, str(error), tls) from error
        if reply.status_code != httpx.codes.OK:
            raise self._error(reply)
        return _result(reply)

    def _error(self, reply: httpx.Response) -> ZdcError:
        try:
            error = reply.json()["error"]
            return error_of(error["kind"], error["message"])
        except (ValueError, KeyError, TypeError):  # a proxy's page, or another kind of server
            text = f"{self._url}: HTTP {reply.status_code} {reply.reason_phrase}"
            return NotReadyError(text) if reply.status_code in (502, 503) else ZdcError(text)

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


def _to_json(request: SimulationRequest) -> bytes:
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
