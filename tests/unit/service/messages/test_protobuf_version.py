"""A too old protobuf, installed with another package, gives an error in one line with the remedy."""

import importlib
import tomllib
from pathlib import Path

import google.protobuf
import pytest
import zdc_service.messages
from zdc_common.errors import ConfigError
from zdc_service.messages import OLDEST_PROTOBUF, check_protobuf

ROOT = Path(__file__).resolve().parents[4]


def test_an_old_protobuf_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(google.protobuf, "__version__", "5.29.5")
    with pytest.raises(ConfigError, match=r"protobuf 5\.29\.5 is installed.*; pip install 'protobuf>=6\.31\.1'"):
        importlib.reload(zdc_service.messages)


@pytest.mark.parametrize("version", ["6.31.1", "6.33.0rc1", "7.0.0"])
def test_a_newer_one_will_do(version: str) -> None:
    check_protobuf(version)


def test_the_oldest_is_that_of_the_messages_and_of_the_package() -> None:
    for name in ("simulation_pb2.py", "inference_pb2.py"):
        text = (ROOT / "service/zdc_service/messages" / name).read_text()
        assert f"# Protobuf Python Version: {OLDEST_PROTOBUF}\n" in text
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert f"protobuf>={OLDEST_PROTOBUF},<8" in dependencies
    assert not [name for name in dependencies if name.startswith(("grpcio-health", "grpcio-reflection"))]
