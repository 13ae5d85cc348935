"""Requests of the Open Inference Protocol and their replies, without our client or `tritonclient`."""

from typing import Any

import httpx
import numpy as np
import orjson
from zdc_service.messages import inference_pb2 as pb

INFER, STREAM_INFER = "/inference.GRPCInferenceService/ModelInfer", "/inference.GRPCInferenceService/ModelStreamInfer"
CODING = (pb.ModelInferRequest.SerializeToString, pb.ModelInferResponse.FromString)
STREAM_CODING = (pb.ModelInferRequest.SerializeToString, pb.ModelStreamInferResponse.FromString)

_DATATYPES = {np.dtype("<f4"): "FP32", np.dtype("<i8"): "INT64", np.dtype("<f8"): "FP64"}

Arrays = dict[str, np.ndarray]


def http_body(inputs: Arrays, **fields: Any) -> tuple[bytes, dict[str, str]]:
    """A body with tensors as bytes, and its headers."""
    tensors = [
        {
            "name": name,
            "datatype": _DATATYPES[array.dtype],
            "shape": array.shape,
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, array in inputs.items()
    ]
    head = orjson.dumps({"inputs": tensors, **fields})
    tail = b"".join(array.tobytes() for array in inputs.values())
    return head + tail, {"Inference-Header-Content-Length": str(len(head))}


def http_outputs(reply: httpx.Response) -> Arrays:
    """The outputs of a reply, as bytes or in the JSON."""
    length = reply.headers.get("Inference-Header-Content-Length")
    at = int(length) if length else len(reply.content)
    arrays = {}
    for output in orjson.loads(reply.content[:at])["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            array = np.array(output["data"], dtype=np.float32)
        else:
            array = np.frombuffer(reply.content[at : at + size], dtype="<f4")
            at += size
        arrays[output["name"]] = array.reshape(output["shape"])
    assert at == len(reply.content)
    return arrays


def grpc_message(model: str, inputs: Arrays, outputs: tuple[str, ...] = (), **parameters: Any) -> pb.ModelInferRequest:
    """A request with raw contents."""
    message = pb.ModelInferRequest(model_name=model, raw_input_contents=[one.tobytes() for one in inputs.values()])
    for name, array in inputs.items():
        message.inputs.add(name=name, datatype=_DATATYPES[array.dtype], shape=array.shape)
    for name in outputs:
        message.outputs.add(name=name)
    for name, value in parameters.items():
        kind = {bool: "bool_param", int: "int64_param", str: "string_param", float: "double_param"}[type(value)]
        setattr(message.parameters[name], kind, value)
    return message


def grpc_outputs(reply: pb.ModelInferResponse) -> Arrays:
    """The outputs of a reply."""
    return {
        output.name: np.frombuffer(raw, dtype="<f4").reshape(output.shape)
        for output, raw in zip(reply.outputs, reply.raw_output_contents, strict=True)
    }
