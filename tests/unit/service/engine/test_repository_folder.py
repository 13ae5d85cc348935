"""The repository if its folder has changed or has invalid models."""

import shutil
from pathlib import Path

import pytest
from helpers.models.tiny_model import TinyModel, write_model
from helpers.servers.opened_repository import TWO, opened, versions
from zdc_common.errors import ModelError, ModelNotFoundError
from zdc_detector.card import CARD_FILE, GOLDEN_FILE, GRAPH_FILE
from zdc_service.engine.engine import Engine
from zdc_service.engine.model_store import StoredModel
from zdc_service.engine.repository import IndexEntry, open_repository
from zdc_service.serving.inference.request import version_of
from zdc_service.settings import EngineSettings
from zdc_service.telemetry.instruments import Instruments


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """``tiny`` version 1."""
    write_model(tmp_path)
    return tmp_path


def test_without_its_folder_everything_stays(folder: Path) -> None:
    repository = opened(folder)
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(ModelError, match="the models folder cannot be read: No such file"):
        repository.refresh()
    assert repository.get().card.version == 1
    assert repository.index() == [IndexEntry("tiny", 1, "READY", "")]
    folder.with_name("elsewhere").rename(folder)
    repository.refresh()
    assert versions(repository) == [("tiny", 1)]


def test_an_empty_folder_changes_nothing(folder: Path) -> None:
    repository = opened(folder)
    engine = repository.get()
    (folder / "tiny").rename(folder.with_name("elsewhere"))
    for _ in range(3):
        with pytest.raises(ModelError, match="the models folder is empty; check that its volume is mounted"):
            repository.refresh()
    assert repository.get() is engine
    (folder / "lost+found").mkdir()
    (folder / "tiny").mkdir()
    with pytest.raises(ModelError, match="is empty"):
        repository.refresh()
    repository.unload("tiny")  # by name it goes
    repository.refresh()
    assert versions(repository) == []


def test_version_0_is_not_a_version(folder: Path) -> None:
    repository = opened(folder)
    for number in (0, -1, 10**30):
        with pytest.raises(ModelNotFoundError, match=rf"no version {number}; loaded are \[1\]"):
            repository.get("tiny", number)


def test_versions_may_be_dates_and_times_as_far_as_protocols_have_room(folder: Path) -> None:
    write_model(folder, TinyModel(version=2**31 - 1, seed=2))
    too_large = write_model(folder, TinyModel(version=2, seed=3)).rename(folder / "tiny" / str(2**31))
    card = (too_large / CARD_FILE).read_text()
    (too_large / CARD_FILE).write_text(card.replace('"version": 2,', f'"version": {2**31},'))
    with pytest.raises(ModelError, match=r"version: Input should be less than or equal to 2147483647"):
        opened(folder)
    shutil.rmtree(too_large)
    repository = opened(folder)
    assert repository.get().card.version == 2**31 - 1
    assert repository.get("tiny", version_of("2147483647")) is repository.get()


def test_a_lack_of_memory_refuses_a_version_and_nothing_else(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    def open_engine(model: StoredModel) -> Engine:
        if model.card.version == 2:
            raise MemoryError
        return Engine(model)

    repository = opened(folder, open_engine=open_engine)
    write_model(folder, TWO)
    write_model(folder, TinyModel(name="zebra"))
    for _ in range(2):
        repository.refresh()
    assert versions(repository) == [("tiny", 1), ("zebra", 1)]
    assert "model tiny version 2 is refused" in caplog.text


def test_each_file_is_read_once_at_the_start(models_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    read_bytes = Path.read_bytes

    def noted(path: Path) -> bytes:
        read.append(path)
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", noted)
    open_repository(EngineSettings(models=models_folder, default_model="tiny", threads=1), Instruments())
    folders = [models_folder / version for version in ("strips/1", "tiny/1", "tiny/2")]
    assert sorted(read) == sorted(folder / name for folder in folders for name in (CARD_FILE, GRAPH_FILE, GOLDEN_FILE))
