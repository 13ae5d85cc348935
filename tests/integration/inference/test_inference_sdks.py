"""Requests in the form of the clients of KServe, MLServer and Triton's extensions.

Written down from kserve 0.21, mlserver 1.7.1 and tritonclient 2.73, which are too heavy to be installed for tests.
"""

from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import numpy as np
import orjson
import pytest
from helpers.callers.inference_requests import CODING, INFER, Arrays, grpc_message, grpc_outputs, http_outputs
from helpers.models.tiny_model import some_particles
from helpers.servers.running_server import RunningServer
from zdc_service.messages import inference_pb2 as pb
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import SimulationRequest

PARTICLES = some_particles(2)
FLAT = PARTICLES.conditions.ravel().tolist()
CODES = PARTICLES.pdg.tolist()
PATH = "/v2/models/strips/infer"

KSERVE = {
    "id": "a891e5e4-d376-49f6-b0c3-78a5b5e5c990",
    "model_name": "strips",
    "inputs": [
        {"name": "particles", "shape": [2, 9], "datatype": "FP32", "data": FLAT},
        {"name": "pdg", "shape": [2], "datatype": "INT64", "data": CODES},
    ],
    "parameters": {"seed": 7, "binary_data_output": True},
}
#: NumpyCodec gives an array of one dimension a second one; absent fields are null.
MLSERVER: dict[str, Any] = {
    "id": None,
    "parameters": {"content_type": "np", "headers": {"x": "y"}, "seed": 7},
    "inputs": [
        {"name": "particles", "shape": [2, 9], "datatype": "FP32", "parameters": {"content_type": "np"}, "data": FLAT},
        {"name": "pdg", "shape": [2, 1], "datatype": "INT64", "parameters": {"content_type": "np"}, "data": CODES},
    ],
    "outputs": [{"name": "channels", "parameters": {"content_type": "np"}}],
}
#: Of Triton's schedule policy and sequence extensions, which change no number of an answer.
TRITON = MLSERVER | {
    "parameters": {
        "seed": 7, "priority": 3, "timeout": 10_000_000,
        "sequence_id": 5, "sequence_start": True, "sequence_end": True, "binary_data_output": True,
    },
}  # fmt: skip


@pytest.fixture
def channels(simulator: Simulator) -> np.ndarray:
    """Parameters of every request below."""
    return simulator.simulate(SimulationRequest(PARTICLES, seed=7, model="strips")).channels


@pytest.fixture
def ask(server: RunningServer) -> Iterator[Any]:
    with grpc.insecure_channel(server.grpc) as channel:
        yield channel.unary_unary(INFER, *CODING)


@pytest.mark.parametrize("body", [KSERVE, MLSERVER, TRITON], ids=["kserve", "mlserver", "triton"])
def test_over_http(server: RunningServer, channels: np.ndarray, body: dict[str, Any]) -> None:
    reply = httpx.post(server.http + PATH, content=orjson.dumps(body), timeout=60).raise_for_status()
    np.testing.assert_array_equal(http_outputs(reply)["channels"], channels)


@pytest.mark.parametrize("data", [[[code] for code in CODES], CODES, "bytes"])
def test_numbers_may_come_as_a_column(server: RunningServer, channels: np.ndarray, data: Any) -> None:
    pdg = {"name": "pdg", "shape": [2, 1], "datatype": "INT64", "data": data}
    tail = b""
    if data == "bytes":
        tail = PARTICLES.pdg.tobytes()
        pdg = {**pdg, "data": None, "parameters": {"binary_data_size": len(tail)}}
    head = orjson.dumps(MLSERVER | {"inputs": [MLSERVER["inputs"][0], pdg]})
    headers = {"Inference-Header-Content-Length": str(len(head))}
    reply = httpx.post(server.http + PATH, content=head + tail, headers=headers, timeout=60).raise_for_status()
    np.testing.assert_array_equal(http_outputs(reply)["channels"], channels)


def test_other_axes_are_not_dropped(server: RunningServer) -> None:
    pdg = {"name": "pdg", "shape": [1, 2], "datatype": "INT64", "data": CODES}
    body = MLSERVER | {"inputs": [MLSERVER["inputs"][0], pdg]}
    reply = httpx.post(server.http + PATH, content=orjson.dumps(body), timeout=60)
    assert (reply.status_code, reply.json()["error"]) == (422, "input pdg has shape [1, 2]; send [-1]")


def test_kserve_over_grpc_says_how_many_bytes_there_are(ask: Any, channels: np.ndarray) -> None:
    arrays: Arrays = {"particles": PARTICLES.conditions, "pdg": PARTICLES.pdg}
    message = grpc_message("strips", arrays, ("channels",), seed=7, binary_data_output=True)
    for tensor, array in zip(message.inputs, arrays.values(), strict=True):
        tensor.parameters["binary_data_size"].int64_param = array.nbytes
    message.outputs[0].parameters["binary_data"].bool_param = True
    np.testing.assert_array_equal(grpc_outputs(ask(message, timeout=60))["channels"], channels)


def test_mlserver_and_triton_over_grpc(ask: Any, channels: np.ndarray) -> None:
    options = {"content_type": "np", "priority": 3, "sequence_id": "abc", "sequence_start": True, "sequence_end": False}
    message = grpc_message("strips", {"particles": PARTICLES.conditions}, ("channels",), seed=7, **options)
    del message.raw_input_contents[:]
    message.inputs[0].contents.fp32_contents.extend(FLAT)
    pdg = message.inputs.add(name="pdg", datatype="INT64", shape=[2, 1])
    pdg.contents.int64_contents.extend(CODES)
    for tensor in message.inputs:
        tensor.parameters["content_type"].string_param = "np"
    message.outputs[0].parameters["content_type"].string_param = "np"
    np.testing.assert_array_equal(grpc_outputs(ask(message, timeout=60))["channels"], channels)


def _with_output(message: pb.ModelInferRequest, name: str) -> pb.ModelInferRequest:
    message.outputs.add(name="channels").parameters[name].int64_param = 2
    return message


@pytest.mark.parametrize("name", ["classification", "shared_memory_region", "shared_memory_byte_size"])
def test_unknown_parameters_are_refused(server: RunningServer, ask: Any, name: str) -> None:
    body = MLSERVER | {"outputs": [{"name": "channels", "parameters": {name: 2}}]}
    reply = httpx.post(server.http + PATH, content=orjson.dumps(body), timeout=60)
    assert reply.status_code == 422
    assert f"'{name}' is unknown" in reply.json()["error"]
    with pytest.raises(grpc.RpcError) as caught:
        ask(_with_output(grpc_message("tiny", {"particles": PARTICLES.conditions}), name), timeout=60)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_more_tensors_than_any_model_has(server: RunningServer, ask: Any) -> None:
    body = MLSERVER | {"inputs": MLSERVER["inputs"] * 9}
    reply = httpx.post(server.http + PATH, content=orjson.dumps(body), timeout=60)
    assert (reply.status_code, reply.json()["error"][:33]) == (422, "18 inputs and 1 output are given;")
    message = grpc_message("strips", {"particles": PARTICLES.conditions})
    for _ in range(1000):
        message.outputs.add()
    with pytest.raises(grpc.RpcError, match="1 input and 1000 outputs are given"):
        ask(message, timeout=60)
