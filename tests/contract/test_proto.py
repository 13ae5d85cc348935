"""The public gRPC contract: documented, never broken, and what the committed messages were made from."""

import subprocess
from importlib.metadata import files
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor
from helpers.callers.compiled_proto import ROOT, compiled, without_json_names
from zdc_service.messages import inference_pb2, simulation_pb2

PROTO = "zdc/v1/simulation.proto"


@pytest.mark.parametrize("descriptor", [simulation_pb2.DESCRIPTOR, inference_pb2.DESCRIPTOR], ids=lambda one: one.name)
def test_the_committed_messages_are_those_of_the_proto_file(descriptor: FileDescriptor, tmp_path: Path) -> None:
    committed = descriptor_pb2.FileDescriptorProto.FromString(descriptor.serialized_pb)
    assert without_json_names(compiled(descriptor.name, tmp_path)) == without_json_names(committed), "run `make proto`"


def buf(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = next(Path(str(path.locate())) for path in files("buf-bin") or [] if path.name in ("buf", "buf.exe"))
    return subprocess.run([program, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("arguments", [["lint"], ["breaking", "--against", "proto/baseline.json"]])
def test_buf(arguments: list[str]) -> None:
    done = buf(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_breaking_change_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "proto/zdc/v1").mkdir(parents=True)
    (tmp_path / "buf.yaml").write_text((ROOT / "buf.yaml").read_text())
    text = (ROOT / "proto" / PROTO).read_text()
    (tmp_path / "proto" / PROTO).write_text(text.replace("bytes vertex = 2;", "").replace("bytes vertex = 3;", ""))
    done = buf("breaking", str(tmp_path), "--against", "proto/baseline.json")
    assert done.returncode != 0
    assert 'Previously present field "3" with name "vertex"' in done.stdout
