"""Finds out whether an ONNX graph stores data in other files, without the package onnx.

The graph's hash does not cover such files. onnxruntime maps them into memory, and also searches the working directory
for them: an overwritten file would change the physics, and a truncated file would crash the process.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message
from zdc_common.errors import ModelError

#: The fields that lead from a model to its tensors, by their numbers in onnx.proto; all other fields are ignored.
_MESSAGES: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {},
}
#: Scalar fields. `external_data` of a tensor names a file; `data_location` is 0 if its data are in the graph.
_SCALARS = {
    "Tensor": {"external_data": (13, "TYPE_BYTES"), "data_location": (14, "TYPE_INT32")},
    "Node": {"op_type": (4, "TYPE_BYTES")},
}
#: Type of nodes compiled for one device, whose content may also be in a file.
_COMPILED = b"EPContext"


def check_self_contained(graph: bytes, name: str) -> None:
    """Raise ModelError if a graph stores weights in other files, or is not an ONNX graph; `name` is for the message."""
    try:
        model = _model_class().FromString(graph)
    except DecodeError as error:
        raise ModelError(f"{name}: not an ONNX graph; export the model again") from error
    if any(_is_elsewhere(part) for part in _parts(model)):
        raise ModelError(
            f"{name}: stores weights in other files, which its hash does not cover; save it as one file "
            "(onnx.save without save_as_external_data, torch.onnx.export with external_data=False)"
        )


def _parts(message: Message) -> Iterator[Any]:
    yield message
    for field, parts in message.ListFields():
        if field.message_type is not None:
            for part in parts:
                yield from _parts(part)


def _is_elsewhere(part: Any) -> bool:
    kind = part.DESCRIPTOR.name
    if kind == "Node":
        return _COMPILED in part.op_type
    return kind == "Tensor" and (bool(part.external_data) or any(part.data_location))


@cache
def _model_class() -> Any:
    """A message class with the fields above. All fields are repeated, so that no occurrence of a field is lost."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="zdc_onnx_weights.proto", package="zdc.onnx", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, kind in fields.items():
            message.field.add(
                name=f"field_{number}", number=number, label=field.LABEL_REPEATED, type=field.TYPE_MESSAGE,
                type_name=f".zdc.onnx.{kind}",
            )  # fmt: skip
        for scalar, (number, type_) in _SCALARS.get(name, {}).items():
            message.field.add(name=scalar, number=number, label=field.LABEL_REPEATED, type=getattr(field, type_))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("zdc.onnx.Model"))
