"""The messages of the Open Inference Protocol are the published ones: `tritonclient` has the same."""

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FileDescriptorProto
from zdc_service.messages import inference_pb2 as pb

CLIENT = Path(__file__).resolve().parents[1] / "helpers/callers/triton_client.py"


@pytest.fixture(scope="module")
def published() -> list[FileDescriptorProto]:
    done = subprocess.run([sys.executable, str(CLIENT), "descriptors"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [FileDescriptorProto.FromString(bytes.fromhex(line)) for line in done.stdout.split()]


@pytest.fixture(scope="module")
def ours() -> FileDescriptorProto:
    return FileDescriptorProto.FromString(pb.DESCRIPTOR.serialized_pb)


def fields(messages: list[DescriptorProto], prefix: str = "") -> dict[str, tuple[object, ...]]:
    """Everything that the wire and generated code depend on, by ``Message.Inner.field``."""
    found: dict[str, tuple[object, ...]] = {}
    for message in messages:
        name = f"{prefix}{message.name}"
        found[name] = (message.options.map_entry,)
        for field in message.field:
            oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else None
            found[f"{name}.{field.name}"] = (field.number, field.type, field.label, field.type_name, oneof)
        found |= fields(list(message.nested_type), f"{name}.")
    return found


def values(enums: list[EnumDescriptorProto]) -> dict[str, int]:
    return {f"{enum.name}.{value.name}": value.number for enum in enums for value in enum.value}


def test_every_field_is_the_published_one(ours: FileDescriptorProto, published: list[FileDescriptorProto]) -> None:
    theirs = fields([message for file in published for message in file.message_type])
    mine = fields(list(ours.message_type))
    assert ours.package == "inference"
    assert len(mine) > 150
    assert mine == {name: theirs.get(name) for name in mine}


def test_every_enum_is_the_published_one(ours: FileDescriptorProto, published: list[FileDescriptorProto]) -> None:
    theirs = values([enum for file in published for enum in file.enum_type])
    assert values(list(ours.enum_type)) == theirs


def test_every_method_is_the_published_one(ours: FileDescriptorProto, published: list[FileDescriptorProto]) -> None:
    def methods(files: list[FileDescriptorProto]) -> dict[str, tuple[object, ...]]:
        return {
            f"{service.name}.{one.name}": (one.input_type, one.output_type, one.client_streaming, one.server_streaming)
            for file in files
            for service in file.service
            for one in service.method
        }

    mine, theirs = methods([ours]), methods(published)
    assert mine == {name: theirs.get(name) for name in mine}
    left_out = {name.removeprefix("GRPCInferenceService.") for name in theirs.keys() - mine.keys()}
    assert all("SharedMemory" in name or name in ("TraceSetting", "LogSettings") for name in left_out), left_out


def test_messages_that_requests_and_replies_are_made_of_are_whole(
    ours: FileDescriptorProto, published: list[FileDescriptorProto]
) -> None:
    """The server has every message that clients send or read; only configurations are partial."""
    mine = fields(list(ours.message_type))
    known = {message.name for message in ours.message_type}
    theirs = fields([message for file in published for message in file.message_type if message.name in known])
    missing = {name.partition(".")[0] for name in theirs.keys() - mine.keys()}
    assert missing == {"ModelConfig", "ModelInput", "ModelOutput", "ModelStatistics", "ModelVersionPolicy"}


def test_a_process_may_use_our_client_and_tritonclient() -> None:
    code = "import tritonclient.grpc, zdc_service.client, zdc_service.messages.simulation_pb2"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
