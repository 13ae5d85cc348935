"""Proto files as protoc reads them."""

import subprocess
import sys
from pathlib import Path

import grpc_tools
from google.protobuf import descriptor_pb2

ROOT = Path(__file__).resolve().parents[3]


def compiled(proto: str, folder: Path) -> descriptor_pb2.FileDescriptorProto:
    """The descriptors that protoc makes from a proto file."""
    output = folder / "set.binpb"
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'proto'}", f"-I{well_known}",
         f"--descriptor_set_out={output}", proto],
        check=True, timeout=60,
    )  # fmt: skip
    (file,) = descriptor_pb2.FileDescriptorSet.FromString(output.read_bytes()).file
    return file


def without_json_names(file: descriptor_pb2.FileDescriptorProto) -> descriptor_pb2.FileDescriptorProto:
    """Derived from the field names; generated Python code leaves them out."""
    pending = list(file.message_type)
    while pending:
        message = pending.pop()
        pending.extend(message.nested_type)
        for field in message.field:
            field.ClearField("json_name")
    return file
