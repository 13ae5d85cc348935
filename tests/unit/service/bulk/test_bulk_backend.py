"""One client for all tasks of a worker, and the check of its model."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.calorimeters import ZN
from helpers.models.tiny_model import TinyModel, write_model
from zdc_common.errors import ConfigError
from zdc_service.bulk.backend import Backend, ModelChoice, SharedClient
from zdc_service.client import ClientOptions
from zdc_service.settings import EngineSettings


@pytest.fixture
def shared() -> Iterator[SharedClient]:
    client = SharedClient()
    yield client
    client.close()


def backend_of(folder: Path) -> Backend:
    return Backend(None, ClientOptions(), EngineSettings(models=folder, threads=1))


def test_models_are_loaded_once(tmp_path: Path, shared: SharedClient) -> None:
    write_model(tmp_path / "a")
    first = shared.client(backend_of(tmp_path / "a"))
    assert shared.client(backend_of(tmp_path / "a")) is first
    write_model(tmp_path / "b")
    assert shared.client(backend_of(tmp_path / "b")) is not first


def test_another_model_of_that_name_is_refused(tmp_path: Path, shared: SharedClient) -> None:
    write_model(tmp_path / "a")
    write_model(tmp_path / "b", TinyModel(seed=2))
    expected = shared.identity(backend_of(tmp_path / "a"), ModelChoice(None, None, rates=False))
    assert (expected.model, expected.version, expected.calorimeter) == ("tiny", 1, ZN)
    shared.check(backend_of(tmp_path / "a"), expected, rates=False)
    with pytest.raises(ConfigError, match="tiny version 1 on this machine differs from the job's: its graph_sha256 is"):
        shared.check(backend_of(tmp_path / "b"), expected, rates=False)
