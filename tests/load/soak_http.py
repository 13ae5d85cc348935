"""Callers over HTTP on bare sockets: binary bodies and JSON of our own interface, and the Open Inference Protocol."""

import asyncio
import json
import math
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import numpy as np
import orjson
import zstandard
from soak_outcomes import Caller, Outcome, ViolationError, check_answer, check_refusal
from soak_requests import Arrays, Asked
from wire import post, rows_of
from zdc_service.client.transports.columns import columns_to_send
from zdc_service.codecs import ARRAYS, ARRAYS_HEADER, JSON, RAW, ZSTD, split_arrays
from zdc_service.deadlines import TIMEOUT_HEADER
from zdc_service.serving.http.inference_body import HEADER_LENGTH
from zdc_service.serving.http.simulate import SIMULATE_PATH
from zdc_service.simulation import Output

_STATUSES = {"deadline": 504, "overloaded": 429, "out_of_range": 422}
#: Bytes of the buffer between socket and reader.
_BUFFER = 4 * 1024 * 1024
#: Largest number of rows of answers as JSON.
_JSON_ROWS = 8

Headers = Mapping[str, str]


class _HttpCaller(Caller):
    """One kept connection; it is closed if the task is cancelled."""

    def __init__(self, address: str, rng: np.random.Generator):
        self._host, _, self._port = address.rpartition(":")
        self._rng = rng
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, asked: Sequence[Asked], seconds: float | None, outcomes: list[Outcome]) -> None:
        """One request and its answer."""
        one = asked[0]
        timeout = {} if seconds is None else {TIMEOUT_HEADER: f"{1e3 * seconds:.3f}"}
        message = self._message(one, timeout)
        began = time.monotonic()
        try:
            status, headers, body = await self._exchange(message)
        except BaseException:
            await self.close()
            raise
        if status == 200:
            arrays = self._arrays(one, headers, body)
            outcomes.append(check_answer(one, one.wrong(arrays)))
            return
        kind, text = self._error(body)
        outcome = check_refusal(one, kind, text, seconds, began)
        if _STATUSES[kind] != status or ("retry-after" in headers) != (kind == "overloaded"):
            raise ViolationError(f"HTTP {status} {dict(headers)}: {text}")
        outcomes.append(outcome)

    async def _exchange(self, message: bytes) -> tuple[int, Headers, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, int(self._port), limit=_BUFFER)
        reader, writer = self._streams
        writer.write(message)
        try:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
            body = await reader.readexactly(int(headers["content-length"]))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise ViolationError(f"the connection ended without an answer: {error!r}") from error
        return int(lines[0].split()[1]), headers, body

    async def close(self) -> None:
        """Close the connection, in one of several ways."""
        if self._streams is None:
            return
        _, writer = self._streams
        self._streams = None
        if self._rng.random() < 0.5:
            writer.transport.abort()
        else:
            writer.close()

    @abstractmethod
    def _message(self, asked: Asked, headers: Headers) -> bytes: ...

    @abstractmethod
    def _arrays(self, asked: Asked, headers: Headers, body: bytes) -> Arrays: ...

    def _error(self, body: bytes) -> tuple[str, str]:
        """Kind and message."""
        error = json.loads(body)["error"]
        return error["kind"], error["message"]


class BinaryCaller(_HttpCaller):
    """Particles as binary rows; answers in one of the binary forms."""

    protocol, label = "HTTP binary", "http"

    def _message(self, asked: Asked, headers: Headers) -> bytes:
        request = asked.request
        options = {
            "seed": request.seed,
            "first_row": request.first_row,
            "repeats": request.repeats,
            "output": request.output.value,
            "rates": "true" if request.rates else "false",
            "model": request.model,
        }
        accept = {"Accept": ARRAYS if self._rng.random() < 0.5 else RAW}
        packed = {"Accept-Encoding": ZSTD} if self._rng.random() < 0.2 else {}
        path = f"{SIMULATE_PATH}?{urlencode(options)}"
        return post(path, rows_of(request.particles), {"Content-Type": RAW, **accept, **packed, **headers})

    def _arrays(self, asked: Asked, headers: Headers, body: bytes) -> Arrays:
        _check_scalars(asked, int(headers["x-zdc-seed"]), int(headers["x-zdc-first-row"]))
        if headers.get("content-encoding") == ZSTD:
            body = zstandard.ZstdDecompressor().decompress(body)
        arrays = split_arrays(body, headers[ARRAYS_HEADER.lower()])
        if sum(array.nbytes for array in arrays.values()) != len(body):
            raise ViolationError(f"the body has {len(body)} bytes, and its arrays {headers[ARRAYS_HEADER.lower()]}")
        return arrays


class JsonCaller(_HttpCaller):
    """JSON; longer answers are arrays."""

    protocol, label = "HTTP JSON", "http"

    def _message(self, asked: Asked, headers: Headers) -> bytes:
        request = asked.request
        fields = {
            "particles": columns_to_send(request.particles),
            "seed": request.seed,
            "first_row": request.first_row,
            "repeats": request.repeats,
            "output": request.output.value,
            "rates": request.rates,
            "model": request.model,
        }
        body = orjson.dumps(fields, option=orjson.OPT_SERIALIZE_NUMPY)
        accept = JSON if asked.rows <= _JSON_ROWS else ARRAYS
        return post(SIMULATE_PATH, body, {"Content-Type": JSON, "Accept": accept, **headers})

    def _arrays(self, asked: Asked, headers: Headers, body: bytes) -> Arrays:
        if headers["content-type"] == ARRAYS:
            _check_scalars(asked, int(headers["x-zdc-seed"]), int(headers["x-zdc-first-row"]))
            return split_arrays(body, headers[ARRAYS_HEADER.lower()])
        fields = json.loads(body)
        _check_scalars(asked, fields["seed"], fields["first_row"])
        hits = fields.get("hits", {})
        found = fields | {f"hits_{name}": hits[name] for name in hits}
        return {name: np.array(found[name], dtype=right.dtype) for name, right in asked.answer.items()}


class InferenceHttpCaller(_HttpCaller):
    """The Open Inference Protocol with binary tensors."""

    protocol, label, repeats = "HTTP v2", "http_v2", False

    def _message(self, asked: Asked, headers: Headers) -> bytes:
        request = asked.request
        particles = request.particles
        tensors = {
            "particles": ("FP32", particles.conditions.astype("<f4")),
            "pdg": ("INT64", particles.pdg.astype("<i8")),
        }
        described = [
            {
                "name": name,
                "shape": array.shape,
                "datatype": datatype,
                "parameters": {"binary_data_size": array.nbytes},
            }
            for name, (datatype, array) in tensors.items()
        ]
        wanted = [{"name": name, "parameters": {"binary_data": True}} for name in inference_outputs(asked)]
        options = {"seed": request.seed, "first_row": request.first_row, "rates": request.rates}
        head = orjson.dumps({"inputs": described, "outputs": wanted, "parameters": options})
        length = {HEADER_LENGTH: str(len(head))}
        body = head + b"".join(array.tobytes() for _, array in tensors.values())
        return post(f"/v2/models/{request.model}/infer", body, {"Content-Type": RAW, **length, **headers})

    def _arrays(self, asked: Asked, headers: Headers, body: bytes) -> Arrays:
        at = int(headers[HEADER_LENGTH.lower()])
        fields = json.loads(body[:at])
        _check_scalars(asked, fields["parameters"]["seed"], fields["parameters"]["first_row"])
        arrays = {}
        for output in fields["outputs"]:
            array = np.frombuffer(body, "<f4", math.prod(output["shape"]), at).reshape(output["shape"])
            at += array.nbytes
            arrays[output["name"]] = array
        if at != len(body):
            raise ViolationError(f"{len(body) - at} bytes behind the last tensor")
        return arrays

    def _error(self, body: bytes) -> tuple[str, str]:
        text = json.loads(body)["error"]
        return kind_of_text(text), text


def inference_outputs(asked: Asked) -> list[str]:
    """The parts of the expected answer that the Open Inference Protocol has; always `channels`."""
    return ["channels", "response"] if asked.request.output is Output.RESPONSE else ["channels"]


def kind_of_text(text: str) -> str:
    """The kind of an error, from its message: the protocol does not send the kind."""
    for part, kind in (("deadline", "deadline"), ("rows are waiting", "overloaded"), ("particle[", "out_of_range")):
        if part in text:
            return kind
    return "unknown"


def _check_scalars(asked: Asked, seed: int, first_row: int) -> None:
    request = asked.request
    if (seed, first_row) != (request.seed, request.first_row):
        raise ViolationError(f"seed {seed} and first row {first_row} of {request.seed} and {request.first_row}")
