"""HTTP bodies of the Open Inference Protocol: JSON, bytes after it, compression."""

from typing import Any

import numpy as np
import orjson
import pytest
from zdc_common.errors import InvalidInputError, TooLargeError
from zdc_service.serving.http.inference_body import Parsed, read_infer, read_object, read_parameters, write_infer
from zdc_service.serving.inference.reply import InferenceReply

DATA = np.arange(18, dtype="<f4").tobytes()
CODES = np.array([22, 2112], dtype="<i8").tobytes()
PARTICLES = {"name": "particles", "datatype": "FP32", "shape": [2, 9], "parameters": {"binary_data_size": len(DATA)}}
PDG = {"name": "pdg", "datatype": "INT64", "shape": [2], "parameters": {"binary_data_size": len(CODES)}}


def read(fields: Any, tail: bytes = b"", **options: Any) -> Parsed:
    head = orjson.dumps(fields)
    length = options.get("length", str(len(head)) if tail else None)
    return read_infer("tiny", "2", head + tail, length, most_rows=100)


def test_a_request_in_json() -> None:
    parsed = read({
        "id": "x",
        "parameters": {"seed": 7},
        "inputs": [{"name": "pdg", "datatype": "INT64", "shape": [2], "data": [22, 2112]}],
        "outputs": [{"name": "channels"}],
    })  # fmt: skip
    request = parsed.request
    assert (request.model, request.version, request.id) == ("tiny", "2", "x")
    assert request.parameters == {"seed": 7}
    assert request.inputs[0].data == [22, 2112]
    assert request.outputs == ["channels"]
    assert not parsed.all_binary


def test_tensors_behind_the_json_are_cut_in_the_order_of_the_inputs() -> None:
    small = {"name": "noise", "datatype": "FP32", "shape": [1], "data": [1.0]}
    request = read({"inputs": [PARTICLES, small, PDG]}, DATA + CODES).request
    assert [bytes(one.data) for one in (request.inputs[0], request.inputs[2])] == [DATA, CODES]
    assert request.inputs[1].data == [1.0]


@pytest.mark.parametrize(
    ("parameters", "flags", "binary"),
    [
        ({}, {}, ["json", "json"]),
        ({"binary_data_output": True}, {}, ["bytes", "bytes"]),
        ({"binary_data_output": True}, {"channels": False}, ["bytes", "json"]),
        ({}, {"channels": True}, ["json", "bytes"]),
        ({"binary_data_output": False}, {"channels": True, "response": True}, ["bytes", "bytes"]),
    ],
)
def test_outputs_come_in_the_form_asked_for(
    parameters: dict[str, bool], flags: dict[str, bool], binary: list[str]
) -> None:
    outputs = [
        {"name": name, "parameters": {"binary_data": flags[name]}} if name in flags else {"name": name}
        for name in ("response", "channels")
    ]
    parsed = read({"inputs": [], "parameters": parameters, "outputs": outputs})
    assert "binary_data_output" not in parsed.request.parameters
    arrays = {"response": np.ones((2, 3, 4), dtype="<f4"), "channels": np.full((2, 5), 2.5, dtype="<f4")}
    reply = write_infer(InferenceReply("tiny", "2", "i", {"seed": 7}, arrays), parsed)
    length = reply.headers.get("Inference-Header-Content-Length")
    assert (length is None) == (binary == ["json", "json"])
    assert reply.headers["Content-Type"] == ("application/json" if length is None else "application/octet-stream")
    at = len(reply.body) if length is None else int(length)
    head = orjson.loads(bytes(reply.body[:at]))
    assert [head[name] for name in ("model_name", "model_version", "id", "parameters")] == [
        "tiny", "2", "i", {"seed": 7}
    ]  # fmt: skip
    for output, form, (name, array) in zip(head["outputs"], binary, arrays.items(), strict=True):
        assert (output["name"], output["datatype"], output["shape"]) == (name, "FP32", list(array.shape))
        if form == "json":
            assert output["data"] == array.ravel().tolist()
        else:
            size = output["parameters"]["binary_data_size"]
            assert bytes(reply.body[at : at + size]) == array.tobytes()
            at += size
    assert at == len(reply.body)


def test_an_answer_without_id() -> None:
    reply = write_infer(InferenceReply("tiny", "2", "", {}, {}), read({"inputs": []}))
    assert "id" not in orjson.loads(bytes(reply.body))


@pytest.mark.parametrize(
    ("fields", "tail", "options", "text"),
    [
        ([], b"", {}, "body = [] must be an object"),
        ({"input": []}, b"", {}, "'input': unknown; a request has id, inputs, model_name"),
        ({"inputs": {}}, b"", {}, "inputs = {} must be a list"),
        ({"inputs": [1]}, b"", {}, "inputs[0] = 1 must be an object"),
        ({"inputs": [{"name": "particles", "data": 1}]}, b"", {}, "inputs[0].data = 1 must be a list"),
        ({"inputs": [{"parameters": 1}]}, b"", {}, "inputs[0].parameters = 1 must be an object"),
        ({"inputs": [{"parameters": {"shared_memory_region": "x"}}]}, b"", {}, "'shared_memory_region' is unknown"),
        ({"inputs": [PARTICLES]}, DATA[:-1], {}, "inputs[0].binary_data_size = 72, but 71 bytes of binary data"),
        ({"inputs": [PARTICLES, PDG]}, DATA, {}, "inputs[1].binary_data_size = 16, but 0 bytes of binary data"),
        ({"inputs": [PARTICLES]}, DATA + b"x", {}, "73 bytes follow the JSON, but the sum of binary_data_size is 72"),
        ({"inputs": [{"parameters": {"binary_data_size": -1}}]}, b"", {}, "binary_data_size = -1"),
        ({"inputs": [{"parameters": {"binary_data_size": 1.5}}]}, b"", {}, "binary_data_size = 1.5"),
        ({"inputs": [PARTICLES]}, DATA, {"length": None}, "bytes are not JSON"),
        ({"inputs": [PARTICLES]}, DATA, {"length": "3"}, "the first 3 bytes are not JSON"),
        ({"inputs": [PARTICLES]}, DATA, {"length": "100000"}, "Inference-Header-Content-Length: '100000' must be"),
        ({"inputs": []}, b"", {"length": "-1"}, "Inference-Header-Content-Length: '-1' must be"),
        ({"inputs": [], "outputs": [{}]}, b"", {}, "outputs[0].name = None must be a string"),
        ({"inputs": [], "outputs": [{"name": "x", "parameters": {"classification": 3}}]}, b"", {}, "'classification'"),
        (
            {"inputs": [], "outputs": [{"name": "x", "parameters": {"binary_data": 1}}]}, b"", {},
            "outputs[0].binary_data = 1 must be true or false",
        ),
        ({"inputs": [], "parameters": {"binary_data_output": 1}}, b"", {}, "binary_data_output = 1 must be true"),
        ({"inputs": [], "parameters": []}, b"", {}, "parameters = [] must be an object"),
        ({"inputs": [], "id": 3}, b"", {}, "id = 3 must be a string"),
    ],
)  # fmt: skip
def test_invalid_bodies(fields: Any, tail: bytes, options: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read(fields, tail, **options)
    assert text in str(caught.value)


def test_bodies_of_administration() -> None:
    assert read_object(b" ", "ready") == {}
    assert read_object(b'{"ready": true}', "ready") == {"ready": True}
    assert read_parameters(b'{"parameters": {"unload_dependents": false}}') == {"unload_dependents": False}
    assert read_parameters(b"{}") == {}
    for body, text in ((b"[]", "body = .* must be an object"), (b"{", "not JSON"), (b'{"x": 1}', "'x': unknown")):
        with pytest.raises(InvalidInputError, match=text):
            read_parameters(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"parameters":{' + b",".join(b'"k%d":1' % number for number in range(2000)) + b"}}",
        b'{"inputs":[' + b",".join([b"{}"] * 2000) + b"]}",
    ],
)
def test_more_names_than_a_request_has_are_counted_and_not_read(body: bytes) -> None:
    with pytest.raises(InvalidInputError, match=r"the JSON has 200\d objects and members; a request may have"):
        read_infer("tiny", "2", body, None, most_rows=100)


def test_more_lists_than_a_request_has_are_counted_and_not_read() -> None:
    body = b'{"inputs":[' + b",".join([b"[]"] * 3000) + b"]}"
    with pytest.raises(TooLargeError, match="the JSON has 3001 lists, more than a request with the maximum of 100"):
        read_infer("tiny", "2", body, None, most_rows=100)


def test_names_and_lists_are_not_counted_in_the_bytes_behind_the_json() -> None:
    tail = b"[{:" * 10_000
    noise = {"name": "noise", "datatype": "FP32", "shape": [7500], "parameters": {"binary_data_size": len(tail)}}
    assert read({"inputs": [noise]}, tail).request.inputs[0].data == tail
