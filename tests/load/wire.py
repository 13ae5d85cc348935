"""Requests as bytes, so that one program can send them to all servers."""

import json
from collections.abc import Mapping
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray
from zdc_detector.particles import CONDITIONS, KINEMATICS, Particles
from zdc_service.client.transports.columns import columns_to_send
from zdc_service.client.transports.grpc_client import message_of_request
from zdc_service.codecs import JSON, RAW
from zdc_service.messages import inference_pb2 as inference
from zdc_service.serving.http.simulate import SIMULATE_PATH
from zdc_service.simulation import SimulationRequest

SIMULATE = "/zdc.v1.Simulation/Simulate"
SIMULATE_STREAM = "/zdc.v1.Simulation/SimulateStream"
MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"


def post(path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """Head and body of a request over HTTP/1.1 on a kept connection."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def rows_of(particles: Particles) -> bytes:
    """Binary body of `POST /simulate`: a row of pdg and `KINEMATICS` for each particle, little-endian float32."""
    kinematics = particles.conditions[:, [CONDITIONS.index(name) for name in KINEMATICS]]
    return np.column_stack([particles.pdg, kinematics]).astype("<f4").tobytes()


def simulate_path(request: SimulationRequest) -> str:
    """Path and query of `POST /simulate` with a binary body."""
    options: dict[str, object] = {"output": request.output.value}
    if request.seed is not None:
        options["seed"] = request.seed
    if request.model is not None:
        options["model"] = request.model
    return f"{SIMULATE_PATH}?{urlencode(options)}"


def simulate_http(request: SimulationRequest, accept: str = RAW) -> bytes:
    """`POST /simulate` with particles as binary rows."""
    headers = {"Content-Type": RAW, "Accept": accept}
    return post(simulate_path(request), rows_of(request.particles), headers)


def json_body(request: SimulationRequest) -> bytes:
    """The body of the same request with particles as JSON columns."""
    columns = {name: column.tolist() for name, column in columns_to_send(request.particles).items()}
    fields = {
        "particles": columns,
        "seed": request.seed,
        "output": request.output.value,
        "model": request.model,
    }
    return json.dumps(fields).encode()


def simulate_grpc(request: SimulationRequest) -> bytes:
    """The request message of `zdc.v1.Simulation`."""
    return message_of_request(request).SerializeToString()


def infer_http(model: str, particles: Particles, pdg: bool = False) -> bytes:
    """Open Inference Protocol with binary tensors: inputs ``particles`` and (optional) ``pdg``, output ``response``."""
    tensors = _tensors(particles, pdg)
    given = [
        {
            "name": name,
            "shape": list(array.shape),
            "datatype": datatype,
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, datatype, array in tensors
    ]
    wanted = {"name": "response", "parameters": {"binary_data": True}}
    head = json.dumps({"inputs": given, "outputs": [wanted]}).encode()
    headers = {"Content-Type": RAW, "Inference-Header-Content-Length": str(len(head))}
    return post(f"/v2/models/{model}/infer", head + b"".join(array.tobytes() for *_, array in tensors), headers)


def infer_json(model: str, particles: Particles) -> bytes:
    """Open Inference Protocol with tensors as JSON, for servers without binary tensors."""
    values = _conditions(particles).ravel().tolist()
    given = {"name": "particles", "shape": [len(particles), len(CONDITIONS)], "datatype": "FP32", "data": values}
    body = json.dumps({"inputs": [given]}).encode()
    return post(f"/v2/models/{model}/infer", body, {"Content-Type": JSON})


def infer_grpc(model: str, particles: Particles, pdg: bool = False) -> bytes:
    """The same over gRPC, tensors as bytes."""
    tensors = _tensors(particles, pdg)
    given = [
        inference.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=array.shape)
        for name, datatype, array in tensors
    ]
    wanted = inference.ModelInferRequest.InferRequestedOutputTensor(name="response")
    message = inference.ModelInferRequest(
        model_name=model,
        inputs=given,
        outputs=[wanted],
        raw_input_contents=[array.tobytes() for *_, array in tensors],
    )
    return message.SerializeToString()


def conditions_json(path: str, particles: Particles) -> bytes:
    """``{"particles": [[...]]}`` for servers that define no protocol."""
    body = json.dumps({"particles": _conditions(particles).tolist()}).encode()
    return post(path, body, {"Content-Type": JSON})


def _tensors(particles: Particles, pdg: bool) -> list[tuple[str, str, NDArray[np.generic]]]:
    """Name, datatype and array of each input."""
    codes: list[tuple[str, str, NDArray[np.generic]]] = [("pdg", "INT64", particles.pdg.astype("<i8"))] if pdg else []
    return [("particles", "FP32", _conditions(particles)), *codes]


def _conditions(particles: Particles) -> NDArray[np.float32]:
    """Conditions for the graph, also sent to the other servers: particles that fly to -z are mirrored."""
    return particles.toward_a().conditions.astype("<f4")
