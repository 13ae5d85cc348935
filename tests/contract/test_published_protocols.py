"""Health and reflection are the published protocols: as our proto files say, and as gRPC's own packages have them."""

from importlib.resources import files
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from helpers.callers.compiled_proto import compiled, without_json_names
from zdc_service.messages.published import POOL

COMMITTED = FileDescriptorSet.FromString(files("zdc_service.messages").joinpath("published.binpb").read_bytes()).file


@pytest.mark.parametrize("place", range(2), ids=[file.name for file in COMMITTED])
def test_the_committed_descriptions_are_those_of_the_proto_files(place: int, tmp_path: Path) -> None:
    file = COMMITTED[place]
    assert without_json_names(compiled(file.name, tmp_path)) == without_json_names(file), "run `make proto`"


def shape(message: Descriptor) -> dict[str, tuple[int, int, str | None]]:
    """The parts of a field on which the encoded bytes depend."""
    return {
        field.name: (field.number, field.type, field.message_type.full_name if field.message_type else None)
        for field in message.fields
    }


@pytest.mark.parametrize("theirs", [health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR], ids=lambda one: one.package)
def test_messages_and_methods_are_the_published_ones(theirs: FileDescriptor) -> None:
    for message in theirs.message_types_by_name.values():
        assert shape(POOL.FindMessageTypeByName(message.full_name)) == shape(message)
    for service in theirs.services_by_name.values():
        ours = POOL.FindServiceByName(service.full_name)
        for method in service.methods:
            mine = ours.methods_by_name[method.name]
            assert (mine.input_type.full_name, mine.output_type.full_name) == (
                method.input_type.full_name,
                method.output_type.full_name,
            )
            assert (mine.client_streaming, mine.server_streaming) == (method.client_streaming, method.server_streaming)
