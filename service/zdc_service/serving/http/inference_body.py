"""Bodies of the Open Inference Protocol's infer over HTTP: JSON, followed by binary tensors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from zdc_common.errors import InvalidInputError, TooLargeError, excerpt

from zdc_service.serving.http.reply import Reply
from zdc_service.serving.inference.reply import OUTPUT_DATATYPE, InferenceReply
from zdc_service.serving.inference.request import CONTENT_TYPE, MOST_TENSORS, InferenceRequest, check_tensors
from zdc_service.serving.inference.tensors import Tensor

#: Header with the length of the JSON in bytes; absent if the whole body is JSON.
HEADER_LENGTH = "Inference-Header-Content-Length"

#: Maximum number of digits of that header.
_MOST_DIGITS = 18

#: Maximum number of objects and members in the JSON of a request; far more than any request needs.
_MOST_NAMES = 1000

_FIELDS = frozenset(("id", "parameters", "inputs", "outputs", "model_name", "model_version"))


@dataclass(frozen=True)
class Parsed:
    """A parsed body.

    Attributes
    ----------
    request : The request.
    binary : For the outputs that have the parameter ``binary_data``: its value.
    all_binary : Whether all other outputs are returned as binary data.
    """

    request: InferenceRequest
    binary: Mapping[str, bool]
    all_binary: bool


def read_infer(model: str, version: str, body: bytes, header_length: str | None, most_rows: int) -> Parsed:
    """Parse the body of an infer request; `header_length` is the value of the header `HEADER_LENGTH`, if any.

    Raises
    ------
    InvalidInputError : not a request of the protocol; the message names the field.
    TooLargeError : more lists than a request of `most_rows` particles can have.
    """
    end = len(body) if header_length is None else _number(header_length, len(body))
    _check_size(body, end, most_rows)
    try:
        fields = orjson.loads(memoryview(body)[:end])
    except orjson.JSONDecodeError as error:
        raise InvalidInputError(
            f"the first {end} bytes are not JSON: {error}; if tensors follow the JSON, send {HEADER_LENGTH}"
        ) from error
    known = _object("body", fields)
    unknown = known.keys() - _FIELDS
    if unknown:
        raise InvalidInputError(f"{excerpt(min(unknown))}: unknown; a request has {', '.join(sorted(_FIELDS))}")
    for name in ("model_name", "model_version"):  # checked, but the values of the path are used
        _text_or_none(name, known.get(name))
    parameters = _object("parameters", known.get("parameters"))
    all_binary = _truth("binary_data_output", parameters.pop("binary_data_output", False))
    inputs, outputs = (_list(name, known.get(name)) for name in ("inputs", "outputs"))
    check_tensors(len(inputs), len(outputs))
    names, binary = _read_outputs(outputs)
    request = InferenceRequest(
        model=model,
        version=version,
        id=_text_or_none("id", known.get("id")),
        parameters=parameters,
        inputs=_read_inputs(inputs, memoryview(body)[end:]),
        outputs=names,
    )
    return Parsed(request, binary, all_binary)


def _check_size(body: bytes, end: int, most_rows: int) -> None:
    """Refuse more names and lists than a request can have, before each becomes a Python object."""
    names = body.count(b"{", 0, end) + body.count(b":", 0, end)
    if names > _MOST_NAMES:
        raise InvalidInputError(f"the JSON has {names} objects and members; a request may have at most {_MOST_NAMES}")
    lists = body.count(b"[", 0, end)
    if lists > _MOST_NAMES + MOST_TENSORS * most_rows:
        raise TooLargeError(
            f"the JSON has {lists} lists, more than a request with the maximum of {most_rows} particles; split the "
            "particles, and set first_row to continue the count"
        )


def _read_inputs(items: list[Any], tail: memoryview) -> list[Tensor]:
    tensors, at = [], 0
    for place, item in enumerate(items):
        where = f"inputs[{place}]"
        fields = _object(where, item)
        parameters = _object(f"{where}.parameters", fields.get("parameters"))
        size = parameters.pop("binary_data_size", None)
        parameters.pop(CONTENT_TYPE, None)
        _nothing_left(f"{where}.parameters", parameters)
        if size is None:
            data: Any = _list(f"{where}.data", fields.get("data"))
        else:
            if type(size) is not int or not 0 <= size <= len(tail) - at:
                raise InvalidInputError(
                    f"{where}.binary_data_size = {excerpt(size)}, but {len(tail) - at} bytes of binary data are left"
                )
            data = tail[at : at + size]
            at += size
        name, datatype = (_text(f"{where}.{field}", fields.get(field)) for field in ("name", "datatype"))
        shape = fields.get("shape")
        if not isinstance(shape, list):
            raise InvalidInputError(f"{where}.shape = {excerpt(shape)} must be a list of sizes")
        tensors.append(Tensor(name, datatype, shape, data))
    if at != len(tail):
        raise InvalidInputError(f"{len(tail)} bytes follow the JSON, but the sum of binary_data_size is {at}")
    return tensors


def _read_outputs(items: list[Any]) -> tuple[list[str], dict[str, bool]]:
    names, binary = [], {}
    for place, item in enumerate(items):
        where = f"outputs[{place}]"
        fields = _object(where, item)
        name = _text(f"{where}.name", fields.get("name"))
        parameters = _object(f"{where}.parameters", fields.get("parameters"))
        if "binary_data" in parameters:
            binary[name] = _truth(f"{where}.binary_data", parameters.pop("binary_data"))
        parameters.pop(CONTENT_TYPE, None)
        _nothing_left(f"{where}.parameters", parameters)
        names.append(name)
    return names, binary


def write_infer(reply: InferenceReply, parsed: Parsed) -> Reply:
    """Encode an answer in the form of its request."""
    outputs: list[dict[str, Any]] = []
    tail = []
    for name, array in reply.outputs.items():
        output: dict[str, Any] = {"name": name, "datatype": OUTPUT_DATATYPE, "shape": array.shape}
        if parsed.binary.get(name, parsed.all_binary):
            output["parameters"] = {"binary_data_size": array.nbytes}
            tail.append(array.data)
        else:
            output["data"] = array.ravel()
        outputs.append(output)
    fields = {"model_name": reply.model, "model_version": reply.version, "parameters": reply.parameters}
    if reply.id:
        fields["id"] = reply.id
    head = orjson.dumps(fields | {"outputs": outputs}, option=orjson.OPT_SERIALIZE_NUMPY)
    if not tail:
        return Reply(200, head, {"Content-Type": "application/json"})
    headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(head))}
    return Reply(200, b"".join((head, *tail)), headers)


def read_parameters(body: bytes) -> dict[str, Any]:
    """The ``parameters`` of a body, which may be empty.

    Raises
    ------
    InvalidInputError : the body is not a JSON object, or has other fields.
    """
    return _object("parameters", read_object(body, "parameters").get("parameters"))


def read_ready(body: bytes) -> bool:
    """The ``ready`` of a body, which may be empty.

    Raises
    ------
    InvalidInputError : ``ready`` is not true, false or null, or the body is not a JSON object, or has other fields.
    """
    ready = read_object(body, "ready").get("ready")
    return False if ready is None else _truth("ready", ready)


def read_object(body: bytes, *known: str) -> dict[str, Any]:
    """The JSON object of a body, which may be empty.

    Raises
    ------
    InvalidInputError : the body is not a JSON object, or has fields that are not in `known`.
    """
    try:
        fields = _object("body", orjson.loads(body) if body.strip() else None)
    except orjson.JSONDecodeError as error:
        raise InvalidInputError(f"the body is not JSON: {error}") from error
    unknown = sorted(fields.keys() - set(known))
    if unknown:
        raise InvalidInputError(f"{excerpt(unknown[0])}: unknown; the body may have {', '.join(known)}")
    return fields


def _object(where: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInputError(f"{where} = {excerpt(value)} must be an object")
    return value


def _list(where: str, value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidInputError(f"{where} = {excerpt(value)} must be a list")
    return value


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidInputError(f"{where} = {excerpt(value)} must be a string")
    return value


def _text_or_none(where: str, value: Any) -> str:
    return "" if value is None else _text(where, value)


def _truth(where: str, value: Any) -> bool:
    if type(value) is not bool:
        raise InvalidInputError(f"{where} = {excerpt(value)} must be true or false")
    return value


def _number(text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS) or int(text) > most:
        raise InvalidInputError(f"{HEADER_LENGTH}: {excerpt(text)} must be a number from 0 to {most}, the body's size")
    return int(text)


def _nothing_left(where: str, parameters: Mapping[str, Any]) -> None:
    if parameters:
        raise InvalidInputError(f"{where}: {excerpt(min(parameters))} is unknown; send tensors in the body")
