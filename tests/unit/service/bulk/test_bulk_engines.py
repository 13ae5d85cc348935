"""One client for all tasks of a worker, and the check of its model."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.models.tiny_model import TinyModel, write_model
from zdc_common.errors import ConfigError
from zdc_service.bulk.engines import Kept, Source, Wanted
from zdc_service.client import ClientOptions
from zdc_service.settings import EngineSettings


@pytest.fixture
def kept() -> Iterator[Kept]:
    worker = Kept()
    yield worker
    worker.close()


def source_of(folder: Path) -> Source:
    return Source(None, ClientOptions(), EngineSettings(models=folder, threads=1))


def test_models_are_loaded_once(tmp_path: Path, kept: Kept) -> None:
    write_model(tmp_path / "a")
    first = kept.client(source_of(tmp_path / "a"))
    assert kept.client(source_of(tmp_path / "a")) is first
    write_model(tmp_path / "b")
    assert kept.client(source_of(tmp_path / "b")) is not first


def test_another_model_of_that_name_is_refused(tmp_path: Path, kept: Kept) -> None:
    write_model(tmp_path / "a")
    write_model(tmp_path / "b", TinyModel(seed=2))
    expected = kept.answerer(source_of(tmp_path / "a"), Wanted(None, None, rates=False))
    assert (expected.model, expected.version, expected.shape) == ("tiny", 1, (44, 44))
    kept.check(source_of(tmp_path / "a"), expected, rates=False)
    with pytest.raises(ConfigError, match="tiny version 1 on this machine differs from the job's: its graph_sha256 is"):
        kept.check(source_of(tmp_path / "b"), expected, rates=False)
