"""Simulation by a server over HTTP: JSON columns there, npz back."""

import io
import json
import socket
from contextlib import suppress
from typing import Any
from weakref import WeakSet

import httpx
import numpy as np
import orjson
from zdc_detector.errors import DeadlineError, NotReadyError, ZdcError
from zdc_detector.finish import Finish

from zdc_service.client.base import Client, ClientOptions
from zdc_service.client.columns import columns_to_send
from zdc_service.client.errors import error_of
from zdc_service.codecs import JSON, NPZ
from zdc_service.simulation import Hits, SimulationRequest, SimulationResult


class HttpClient(Client):
    """Posts to ``<url>/simulate`` over a pool of kept connections."""

    def __init__(self, url: str, options: ClientOptions):
        super().__init__(options)
        self._url = url
        limits = httpx.Limits(max_connections=options.in_flight, max_keepalive_connections=options.in_flight)
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._http = httpx.Client(base_url=url, timeout=options.timeout_seconds, limits=limits)

    def _exchange(self, request: SimulationRequest) -> SimulationResult:
        try:
            reply = self._http.post(
                "/simulate",
                content=_to_json(request),
                headers={"Content-Type": JSON, "Accept": NPZ},
                extensions={"trace": self._remember_socket},
            )
        except httpx.TimeoutException as error:
            seconds = self._options.timeout_seconds
            raise DeadlineError(f"{self._url}: no answer within {seconds:g} s; send fewer rows in a request") from error
        except httpx.TransportError as error:
            raise NotReadyError(f"{self._url}: {error}; is a server listening there?") from error
        if reply.status_code != httpx.codes.OK:
            raise self._error(reply)
        return result_from_npz(reply.content)

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


def result_from_npz(body: bytes) -> SimulationResult:
    """The inverse of `zdc_service.codecs.encode` as npz."""
    with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
        hits = None
        if "hits_offsets" in arrays:
            hits = Hits(arrays["hits_offsets"], arrays["hits_fibre"], arrays["hits_photons"])
        rows, columns = arrays["shape"].tolist()
        return SimulationResult(
            model=str(arrays["model"]),
            version=int(arrays["version"]),
            seed=int(arrays["seed"]),
            first_row=int(arrays["first_row"]),
            repeats=int(arrays["repeats"]),
            finish=Finish(str(arrays["finish"])),
            shape=(rows, columns),
            channel_names=tuple(arrays["channel_names"].tolist()),
            particle=arrays["particle"],
            side=arrays["side"],
            channels=arrays["channels"],
            response=arrays.get("response"),
            hits=hits,
            skipped=json.loads(str(arrays["skipped"])),
            extrapolated=json.loads(str(arrays["extrapolated"])),
        )
