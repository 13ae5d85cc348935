"""Conversion between the messages of the package `inference` and the types of `zdc_service.serving.inference`."""

from collections.abc import Mapping
from typing import Any

from zdc_common.errors import InvalidInputError, excerpt
from zdc_common.words import counted

from zdc_service.messages import inference_pb2 as pb
from zdc_service.serving.inference.reply import OUTPUT_DATATYPE, InferenceReply
from zdc_service.serving.inference.request import CONTENT_TYPE, InferenceRequest, check_tensors
from zdc_service.serving.inference.tensors import Tensor
from zdc_service.serving.rpc.wire import bytes_field

#: Parameter that marks the last reply to a request of a stream. Each request has one reply, which is always marked.
_LAST = "triton_final_response"

#: Parameters for the form of a tensor over HTTP. KServe's clients send them over gRPC too, where they have no effect.
_FORM_OF_TENSORS = frozenset(("binary_data_size", "binary_data", CONTENT_TYPE))
_BINARY_OUTPUT = "binary_data_output"

#: Maximum number of parameters of a request or a tensor; far more than any request needs.
_MOST_PARAMETERS = 64

_CONTENTS = {"FP32": "fp32_contents", "INT64": "int64_contents"}
_RAW_OUTPUTS = pb.ModelInferResponse.RAW_OUTPUT_CONTENTS_FIELD_NUMBER
_INFER_RESPONSE = pb.ModelStreamInferResponse.INFER_RESPONSE_FIELD_NUMBER


def read_infer(message: pb.ModelInferRequest) -> InferenceRequest:
    """Convert a message to a request.

    Raises
    ------
    InvalidInputError : only some inputs have raw contents, a parameter of a tensor is unknown, or there are too many
        parameters.
    """
    check_tensors(len(message.inputs), len(message.outputs))
    raw = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        raise InvalidInputError(
            f"raw_input_contents has {counted(len(raw), 'tensor')} for {counted(len(message.inputs), 'input')}; "
            "send one for each, or none"
        )
    for number in [*(len(one.parameters) for one in message.inputs), *(len(one.parameters) for one in message.outputs)]:
        _check_parameters(number)
    of_tensors = {name for one in message.inputs for name in one.parameters}
    of_tensors |= {name for one in message.outputs for name in one.parameters}
    unknown = of_tensors - _FORM_OF_TENSORS
    if unknown:
        raise InvalidInputError(
            f"parameter {excerpt(min(unknown))} of a tensor is unknown; send tensors in the message"
        )
    parameters = parameter_values(message.parameters)
    parameters.pop(_BINARY_OUTPUT, None)
    return InferenceRequest(
        model=message.model_name,
        version=message.model_version,
        id=message.id,
        parameters=parameters,
        inputs=[
            Tensor(one.name, one.datatype, one.shape, raw[place] if raw else _elements(one))
            for place, one in enumerate(message.inputs)
        ],
        outputs=[output.name for output in message.outputs],
    )


def _elements(tensor: pb.ModelInferRequest.InferInputTensor) -> list[Any]:
    return list(getattr(tensor.contents, _CONTENTS[tensor.datatype])) if tensor.datatype in _CONTENTS else []


def parameter_values(
    parameters: "Mapping[str, pb.InferParameter] | Mapping[str, pb.ModelRepositoryParameter]",
) -> dict[str, Any]:
    """The values of parameters; None for a parameter without a value.

    Raises
    ------
    InvalidInputError : there are more parameters than any request needs. A million of them would take seconds.
    """
    _check_parameters(len(parameters))
    chosen = {name: value.WhichOneof("parameter_choice") for name, value in parameters.items()}
    return {name: None if choice is None else getattr(parameters[name], choice) for name, choice in chosen.items()}


def _check_parameters(number: int) -> None:
    if number > _MOST_PARAMETERS:
        raise InvalidInputError(f"{number} parameters are given; the maximum is {_MOST_PARAMETERS}")


def write_infer(reply: InferenceReply) -> bytes:
    """Serialize a reply as a `ModelInferResponse`; its arrays are copied only once."""
    return b"".join(_fields(reply, reply.parameters))


def write_stream_infer(reply: InferenceReply) -> bytes:
    """Serialize a reply as a `ModelStreamInferResponse`; its arrays are copied only once."""
    return b"".join(bytes_field(_INFER_RESPONSE, *_fields(reply, {**reply.parameters, _LAST: True})))


def write_stream_error(request_id: str, message: str) -> bytes:
    """Serialize the `ModelStreamInferResponse` to a request that failed."""
    failed = pb.ModelStreamInferResponse(error_message=message, infer_response=pb.ModelInferResponse(id=request_id))
    return failed.SerializeToString()


def _fields(reply: InferenceReply, parameters: Mapping[str, int | str]) -> "list[bytes | memoryview[Any]]":
    head = pb.ModelInferResponse(model_name=reply.model, model_version=reply.version, id=reply.id)
    for name, value in parameters.items():
        parameter = head.parameters[name]
        if isinstance(value, bool):
            parameter.bool_param = value
        elif isinstance(value, int):
            parameter.int64_param = value
        else:
            parameter.string_param = value
    for name, array in reply.outputs.items():
        head.outputs.add(name=name, datatype=OUTPUT_DATATYPE, shape=array.shape)
    raw = [part for array in reply.outputs.values() for part in bytes_field(_RAW_OUTPUTS, array.data)]
    return [head.SerializeToString(), *raw]
