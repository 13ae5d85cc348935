"""Wrong values in every field of the Open Inference Protocol: each gives a client error."""

import copy
import gzip
import logging
import random
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import httpx
import numpy as np
import orjson
import pytest
from helpers.callers.inference_requests import (
    CODING,
    INFER,
    STREAM_CODING,
    STREAM_INFER,
    Arrays,
    grpc_message,
    http_body,
)
from helpers.models.tiny_model import NOISE, some_particles
from helpers.servers.running_server import RunningServer
from zdc_service.messages import inference_pb2 as pb

PATH = "/v2/models/strips/infer"
ROUTES = (
    "/v2/repository/index",
    "/v2/repository/models/nope/load",
    "/v2/repository/models/nope/unload",
)

ARRAYS: Arrays = {"particles": some_particles(2).conditions, "pdg": some_particles(2).pdg}
PARTICLE = [1000.0004, 0.0, 0.0, 0.0, 0.1, 0.0, 1000.0, 939.565, 0.0]
BODY: dict[str, Any] = {
    "id": "x",
    "model_name": "strips",
    "model_version": "1",
    "parameters": {
        "seed": 1, "first_row": 0, "rates": False, "out_of_range": "extrapolate", "timeout": 10**7,
        "binary_data_output": False, "priority": 1, "content_type": "np",
    },
    "inputs": [
        {"name": "particles", "datatype": "FP32", "shape": [2, 9], "data": [PARTICLE, PARTICLE],
         "parameters": {"content_type": "np"}},
        {"name": "pdg", "datatype": "INT64", "shape": [2], "data": [2112, 2112], "parameters": {}},
        {"name": "noise", "datatype": "FP32", "shape": [2, NOISE], "data": [0.5] * 2 * NOISE},
    ],
    "outputs": [{"name": "channels", "parameters": {"binary_data": False}}],
}  # fmt: skip

#: Put in the place of each field, as JSON has them.
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 2**53, 2**63, 2**64 - 1, -(2**63), 1.5, 1e30, 3e38, 1e39, 1e308, -1e308, 5e-324,
    "", "1", "x" * 20_000, "\0", "\u00e9\n", [], {}, [[]], [{}], {"": None}, [None], ["x"], [1, "x" * 20_000], [[1], 2],
    [1e30] * 18, [0] * 18, [[[1.0] * 9] * 2], [[0.0] * 9] * 2, [2112, -2112], [10**9, -(2**63)],
]  # fmt: skip
#: The same as text that orjson does not write.
LITERALS = [
    b"NaN",
    b"Infinity",
    b"1e400",
    b"-1e400",
    b"1" * 400,
    b"[" * 2000 + b"]" * 2000,
    b'"\\ud800"',
    b"\xff",
    b"01",
]
_HOLE = "the value goes here"


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to every part of a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def with_value(path: tuple[Any, ...], value: Any) -> Any:
    """The body with another value at one path."""
    if not path:
        return value
    body = copy.deepcopy(BODY)
    inner: Any = body
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return body


def bodies(seed: int, count: int) -> Iterator[bytes]:
    """Bodies with a wrong value in one or two places, and the same for each literal."""
    draw = random.Random(seed)
    everywhere = list(places(BODY))
    for path in everywhere:
        yield orjson.dumps(with_value(path, draw.choice(VALUES)))
    for _ in range(count):
        path, value = draw.choice(everywhere), draw.choice(VALUES)
        if draw.random() < 0.2:
            yield orjson.dumps(with_value(path, _HOLE)).replace(f'"{_HOLE}"'.encode(), draw.choice(LITERALS))
        else:
            yield orjson.dumps(with_value(path, value))


@pytest.mark.parametrize("seed", range(3))
def test_wrong_json_is_the_callers_fault(server: RunningServer, caplog: pytest.LogCaptureFixture, seed: int) -> None:
    with httpx.Client(base_url=server.http, timeout=60) as client, caplog.at_level(logging.WARNING):
        statuses = set()
        for body in bodies(seed, 150):
            reply = client.post(PATH, content=body)
            statuses.add(reply.status_code)
            assert reply.status_code in (200, 413, 422, 504), (body[:1000], reply.text[:1000])
            if reply.status_code != 200:
                assert len(reply.json()["error"]) < 500, (body[:1000], reply.text[:1000])
    assert {200, 422} <= statuses
    assert caplog.text == ""


def damaged(body: bytes, draw: random.Random) -> bytes:
    """A body with some bytes changed, removed or repeated."""
    changed = bytearray(body)
    for _ in range(draw.randint(1, 4)):
        at, size = draw.randrange(len(changed)), draw.randint(1, 20)
        match draw.randrange(4):
            case 0:
                changed[at] ^= 1 << draw.randrange(8)
            case 1:
                changed[at] = draw.choice(b'{}[]",:0-9e.x\\\x00\xff')
            case 2:
                del changed[at : at + size]
            case 3:
                changed[at:at] = changed[at : at + size]
    return bytes(changed)


@pytest.mark.parametrize("packed", [False, True])
def test_damaged_bodies_are_the_callers_fault(
    server: RunningServer, caplog: pytest.LogCaptureFixture, packed: bool
) -> None:
    noise = np.zeros((2, NOISE), dtype=np.float32)
    body, headers = http_body({**ARRAYS, "noise": noise}, parameters={"seed": 1, "binary_data_output": True})
    if packed:
        body, headers = gzip.compress(body), headers | {"Content-Encoding": "gzip"}
    draw = random.Random(1)
    with httpx.Client(base_url=server.http, timeout=60) as client, caplog.at_level(logging.WARNING):
        assert client.post(PATH, content=body, headers=headers).status_code == 200
        for _ in range(300):
            reply = client.post(PATH, content=(sent := damaged(body, draw)), headers=headers)
            assert reply.status_code in (200, 413, 422), (sent, reply.text[:1000])
            assert reply.status_code == 200 or len(reply.content) < 700, (sent, reply.text[:1000])
    assert caplog.text == ""


@pytest.mark.parametrize("path", ROUTES)
def test_wrong_bodies_of_the_repository(server: RunningServer, caplog: pytest.LogCaptureFixture, path: str) -> None:
    wrong = [orjson.dumps(value) for value in VALUES] + LITERALS
    wrong += [b'{"%s": %s}' % (name, value) for name in (b"ready", b"parameters", b"x") for value in wrong]
    with httpx.Client(base_url=server.http, timeout=60) as client, caplog.at_level(logging.WARNING):
        for body in wrong:
            reply = client.post(path, content=body)
            assert reply.status_code in (200, 404, 413, 422), (body[:1000], reply.text[:1000])
            assert len(reply.content) < 500, (body[:1000], reply.text[:1000])
    assert caplog.text == ""


@pytest.mark.parametrize(
    "headers",
    [
        {"Inference-Header-Content-Length": "9" * 5000},
        {"Inference-Header-Content-Length": "1e3"},
        {"Inference-Header-Content-Length": ""},
        {"X-Zdc-Timeout-Ms": "nan"},
        {"X-Zdc-Timeout-Ms": "9" * 5000},
        {"X-Zdc-Timeout-Ms": "x" * 5000},
        {"Content-Encoding": "x" * 5000},
        {"Content-Encoding": "gzip"},
    ],
)
def test_wrong_headers_are_the_callers_fault(server: RunningServer, headers: dict[str, str]) -> None:
    reply = httpx.post(server.http + PATH, content=orjson.dumps(BODY), headers=headers, timeout=60)
    assert reply.status_code in (415, 422)
    assert len(reply.json()["error"]) < 500


def messages(seed: int, count: int) -> Iterator[pb.ModelInferRequest]:
    """Messages with other values in one or two fields."""
    draw = random.Random(seed)
    texts = ["", "x", "0", "00", "1.0", " 1", "nope", "x" * 20_000, "FP32", "INT64", "BYTES", "particles", "\0"]
    numbers = [0, 1, -1, 2, 9, 2**31, 2**53, 2**63 - 1, -(2**63)]
    raws = [b"", b"x", bytes(4), b"\xff" * 72, bytes(72), b"x" * 20_000]

    def parameter(value: pb.InferParameter) -> None:
        kind = draw.choice(["bool_param", "int64_param", "string_param", "double_param", "uint64_param", None])
        if kind is not None:
            choices: dict[str, list[Any]] = {
                "bool_param": [True, False], "int64_param": numbers, "string_param": texts,
                "double_param": [0.0, 1e308, float("nan"), float("inf")], "uint64_param": [0, 2**64 - 1],
            }  # fmt: skip
            setattr(value, kind, draw.choice(choices[kind]))
        else:
            value.SetInParent()

    def change(message: pb.ModelInferRequest) -> None:
        tensor = draw.choice(message.inputs)
        names = ["seed", "first_row", "rates", "out_of_range", "timeout", "priority", "", "x" * 20_000]
        changes: list[Callable[[], object]] = [
            lambda: setattr(message, "model_name", draw.choice(texts)),
            lambda: setattr(message, "model_version", draw.choice(texts)),
            lambda: setattr(message, "id", draw.choice(texts)),
            lambda: parameter(message.parameters[draw.choice(names)]),
            lambda: parameter(tensor.parameters[draw.choice([*names, "binary_data_size", "content_type"])]),
            lambda: setattr(tensor, "name", draw.choice(texts)),
            lambda: setattr(tensor, "datatype", draw.choice(texts)),
            lambda: tensor.shape.append(draw.choice(numbers)),
            lambda: tensor.shape.__setitem__(0, draw.choice(numbers)),
            lambda: tensor.shape.__delitem__(0),
            lambda: message.raw_input_contents.append(draw.choice(raws)),
            lambda: message.raw_input_contents.__setitem__(0, draw.choice(raws)),
            lambda: message.raw_input_contents.__delitem__(slice(None)),
            lambda: tensor.contents.fp32_contents.extend([float("nan"), 1e30, 0.0] * 6),
            lambda: tensor.contents.int64_contents.extend(numbers),
            lambda: tensor.contents.bytes_contents.extend(raws),
            lambda: setattr(message.outputs[0], "name", draw.choice(texts)),
            lambda: parameter(message.outputs[0].parameters[draw.choice(["binary_data", "classification", ""])]),
            lambda: message.outputs.add(name="channels"),
            lambda: message.inputs.add(name=draw.choice(texts)),
        ]
        draw.choice(changes)()

    for _ in range(count):
        message = grpc_message("strips", ARRAYS, ("response",), seed=1)
        for _ in range(draw.randint(1, 3)):
            try:
                change(message)
            except IndexError:  # an earlier change took it away
                continue
        yield message


@pytest.mark.parametrize("seed", range(2))
def test_wrong_messages_are_the_callers_fault(
    server: RunningServer, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    allowed = {"OK", "INVALID_ARGUMENT", "OUT_OF_RANGE", "NOT_FOUND", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"}
    codes = set()
    made = list(messages(seed, 300))
    with grpc.insecure_channel(server.grpc) as channel, caplog.at_level(logging.WARNING):
        unary = channel.unary_unary(INFER, *CODING)
        for message in made:
            try:
                unary(message, timeout=30)
                code, text = "OK", ""
            except grpc.RpcError as error:
                code, text = error.code().name, str(error.details())
            codes.add(code)
            assert code in allowed, (str(message)[:1000], text)
            assert len(text) < 500, (str(message)[:1000], text)
        replies = channel.stream_stream(STREAM_INFER, *STREAM_CODING)(iter(made), timeout=60)
        assert sum("internal error" not in reply.error_message for reply in replies) == len(made)
    assert {"OK", "INVALID_ARGUMENT", "NOT_FOUND"} <= codes
    assert caplog.text == ""
