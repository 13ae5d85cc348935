"""The repository: loading, refusing, replacing and unloading models, with real folders and sessions."""

import logging
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from helpers.models.tiny_model import NOISE, TinyModel, some_particles, write_model
from helpers.servers.opened_repository import TWO, opened, versions
from zdc_common.errors import ConfigError, ModelError, ModelNotFoundError
from zdc_detector.card import CARD_FILE, GOLDEN_FILE, GRAPH_FILE
from zdc_service.engine.engine import Engine
from zdc_service.engine.model_store import StoredModel
from zdc_service.engine.repository import IndexEntry, Repository


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """``tiny`` version 1."""
    write_model(tmp_path)
    return tmp_path


def samples(repository: Repository, name: str) -> dict[str, float]:
    """Samples of a metric by their labels."""
    registry = repository._instruments.registry
    found = [sample for metric in registry.collect() for sample in metric.samples if sample.name == name]
    return {" ".join(sample.labels.values()): sample.value for sample in found}


def spoil(version: Path) -> None:
    """Golden rates of another model."""
    with np.load(version / GOLDEN_FILE) as file:
        golden = dict(file)
    np.savez(version / GOLDEN_FILE, **{**golden, "rates": golden["rates"] * 1.5})


def rates(engine: Engine) -> np.ndarray:
    particles = some_particles(20, seed=3).toward_a()
    return engine.run(particles.conditions, np.zeros((20, NOISE), dtype=np.float32), particles.pdg)


def test_models_are_found_by_name_and_version(models_folder: Path) -> None:
    repository = opened(models_folder, "tiny")
    assert versions(repository) == [("strips", 1), ("tiny", 1), ("tiny", 2)]
    assert repository.get().card.version == 2
    assert repository.get("tiny", 1).card.version == 1
    assert repository.get("strips").card.name == "strips"
    with pytest.raises(ModelNotFoundError, match=r"'nope' is not loaded; loaded are strips, tiny"):
        repository.get("nope")
    with pytest.raises(ModelNotFoundError, match=r"no version 3; loaded are \[1, 2\]"):
        repository.get("tiny", 3)
    assert repository.index() == [
        IndexEntry("strips", 1, "READY", ""), IndexEntry("tiny", 1, "READY", ""), IndexEntry("tiny", 2, "READY", "")
    ]  # fmt: skip


def test_a_default_must_be_there(models_folder: Path, folder: Path) -> None:
    with pytest.raises(ConfigError, match="choose one with --default-model"):
        opened(models_folder)  # several models, none of them the shipped one
    with pytest.raises(ConfigError, match="'nope'"):
        opened(models_folder, "nope")
    assert opened(folder).default == "tiny"


def test_at_start_a_bad_version_is_an_error(folder: Path) -> None:
    spoil(write_model(folder, TWO))
    with pytest.raises(ModelError, match="rates differ"):
        opened(folder)


def test_at_start_a_folder_without_a_card_is_not_a_model_yet(folder: Path) -> None:
    (folder / "tiny" / "2").mkdir()
    repository = opened(folder)
    assert repository.index() == [
        IndexEntry("tiny", 1, "READY", ""), IndexEntry("tiny", 2, "UNAVAILABLE", "not loaded yet")
    ]  # fmt: skip


def test_a_new_version_and_a_new_model_are_loaded(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    repository = opened(folder)
    write_model(folder, TWO)
    write_model(folder, TinyModel(name="other"))
    with caplog.at_level(logging.INFO):
        repository.refresh()
    assert versions(repository) == [("other", 1), ("tiny", 1), ("tiny", 2)]
    assert repository.get().card.version == 2
    assert repository.default == "tiny"
    sha256 = repository.get().card.graph_sha256
    assert f"model tiny version 2 is ready on CPUExecutionProvider, sha256 {sha256}" in caplog.text
    assert f"tiny 2 {sha256} CPUExecutionProvider" in samples(repository, "zdc_model_info")


def test_a_look_at_an_unchanged_folder_reads_no_model(folder: Path) -> None:
    loads: list[StoredModel] = []

    def open_engine(model: StoredModel) -> Engine:
        loads.append(model)
        return Engine(model)

    repository = opened(folder, open_engine=open_engine)
    repository.refresh()
    repository.refresh()
    (folder / "tiny" / "1" / "README.md").write_text("for people")
    repository.refresh()
    assert len(loads) == 1


def test_a_changed_version_is_swapped_and_the_old_engine_still_runs(folder: Path) -> None:
    repository = opened(folder)
    old = repository.get()
    before = rates(old)
    shutil.rmtree(folder / "tiny" / "1")
    write_model(folder, TinyModel(seed=9))
    repository.refresh()
    new = repository.get()
    assert new is not old
    assert not np.array_equal(rates(new), before)
    np.testing.assert_array_equal(rates(old), before)  # for requests in flight
    assert list(samples(repository, "zdc_model_info")) == [f"tiny 1 {new.card.graph_sha256} {new.provider}"]


def test_files_copied_again_keep_their_engine(folder: Path) -> None:
    repository = opened(folder)
    engine = repository.get()
    rates(engine)
    shutil.copytree(folder / "tiny" / "1", folder / "copy")
    shutil.rmtree(folder / "tiny" / "1")
    (folder / "copy").rename(folder / "tiny" / "1")
    repository.refresh()
    repository.load("tiny")
    assert repository.get() is engine


def test_a_bad_version_is_refused_once_and_the_old_one_stays(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    repository = opened(folder)
    spoil(write_model(folder, TWO))
    for _ in range(4):
        repository.refresh()
    assert repository.get().card.version == 1
    assert [entry.state for entry in repository.index()] == ["READY", "UNAVAILABLE"]
    assert "rates differ" in repository.index()[1].reason
    assert caplog.text.count("model tiny version 2 is refused") == 1
    assert samples(repository, "zdc_model_refusals_total") == {"tiny": 1}
    shutil.rmtree(folder / "tiny" / "2")
    write_model(folder, TWO)
    repository.refresh()
    assert repository.get().card.version == 2
    assert {entry.reason for entry in repository.index()} == {""}


def test_a_loaded_version_outlives_bad_files_in_its_place(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    repository = opened(folder)
    engine = repository.get()
    with (folder / "tiny" / "1" / GRAPH_FILE).open("ab") as file:
        file.write(b"\0")
    for _ in range(3):
        repository.refresh()
    assert repository.get() is engine
    (entry,) = repository.index()
    assert entry.state == "READY"
    assert "the card says" in entry.reason
    assert "the version loaded before stays in use" in caplog.text
    spoil(folder / "tiny" / "1")
    with pytest.raises(ModelError):
        repository.load("tiny")
    assert repository.get() is engine


@pytest.mark.parametrize("order", [(CARD_FILE, GOLDEN_FILE, GRAPH_FILE), (GRAPH_FILE, CARD_FILE, GOLDEN_FILE)])
def test_a_version_is_loaded_when_its_last_file_is_complete(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture, order: tuple[str, ...]
) -> None:
    repository = opened(folder)
    source = write_model(tmp_path_factory.mktemp("source"), TWO)
    target = folder / "tiny" / "2"
    target.mkdir()
    for name in order:
        content = (source / name).read_bytes()
        for part in (len(content) // 2, len(content)):
            repository.refresh()
            assert repository.get().card.version == 1
            assert repository.index()[1].state == "UNAVAILABLE"
            (target / name).write_bytes(content[:part])
    repository.refresh()
    assert repository.get().card.version == 2
    assert "refused" not in caplog.text
    assert samples(repository, "zdc_model_refusals_total") == {}


def test_deleted_versions_are_unloaded(models_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(models_folder, tmp_path / "models")
    repository = opened(tmp_path / "models", "tiny")
    shutil.rmtree(tmp_path / "models" / "tiny" / "2")
    shutil.rmtree(tmp_path / "models" / "strips")
    repository.refresh()
    assert versions(repository) == [("tiny", 1)]
    assert [(entry.name, entry.version) for entry in repository.index()] == [("tiny", 1)]
    assert len(samples(repository, "zdc_model_info")) == 1


def test_an_unloaded_model_stays_away_until_it_is_loaded(folder: Path) -> None:
    repository = opened(folder)
    repository.unload("tiny")
    write_model(folder, TWO)
    repository.refresh()
    assert versions(repository) == []
    assert repository.index() == [
        IndexEntry("tiny", 1, "UNAVAILABLE", "unloaded"), IndexEntry("tiny", 2, "UNAVAILABLE", "unloaded")
    ]  # fmt: skip
    with pytest.raises(ModelNotFoundError, match="'tiny' is not loaded; loaded are none"):
        repository.get()
    repository.unload("tiny")  # as it is
    repository.load("tiny")
    assert versions(repository) == [("tiny", 1), ("tiny", 2)]
    repository.refresh()
    assert versions(repository) == [("tiny", 1), ("tiny", 2)]


def test_an_unloaded_model_leaves_the_index_with_its_folder(models_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(models_folder, tmp_path / "models")
    repository = opened(tmp_path / "models", "tiny")
    repository.unload("strips")
    shutil.rmtree(tmp_path / "models" / "strips")
    repository.refresh()
    assert {entry.name for entry in repository.index()} == {"tiny"}


def test_a_missing_model_is_named(folder: Path) -> None:
    repository = opened(folder)
    for name in ("nope", "", ".", "..", "../tiny", "tiny/1"):
        with pytest.raises(ModelNotFoundError, match="is not in the models folder, which has tiny"):
            repository.load(name)
        with pytest.raises(ModelNotFoundError, match="is neither loaded nor in the models folder"):
            repository.unload(name)


def test_a_load_takes_all_versions_or_none(folder: Path) -> None:
    repository = opened(folder)
    before = repository.get()
    write_model(folder, TWO)
    spoil(write_model(folder, TinyModel(version=3, seed=3)))
    with pytest.raises(ModelError, match="rates differ"):
        repository.load("tiny")
    assert list(repository) == [before]


def test_requests_do_not_wait_for_a_load(folder: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def open_engine(model: StoredModel) -> Engine:
        if model.card.version == 2:
            begun.set()
            assert go_on.wait(60)
        return Engine(model)

    repository = opened(folder, open_engine=open_engine)
    write_model(folder, TWO)
    with ThreadPoolExecutor(1) as pool:
        refreshed = pool.submit(repository.refresh)
        assert begun.wait(60)
        assert repository.get().card.version == 1
        assert [entry.state for entry in repository.index()] == ["READY", "LOADING"]
        go_on.set()
        refreshed.result(60)
    assert repository.get().card.version == 2


def test_changes_from_many_threads(models_folder: Path) -> None:
    repository = opened(models_folder, "tiny")
    done = threading.Event()

    def change(name: str) -> None:
        for _ in range(5):
            repository.unload(name)
            repository.refresh()
            repository.load(name)

    def read() -> int:
        lookups = 0
        while not done.is_set():
            found = versions(repository)
            assert found.count(("tiny", 1)) == found.count(("tiny", 2))  # the versions of a model come and go at once
            assert {entry.state for entry in repository.index()} <= {"READY", "LOADING", "UNAVAILABLE"}
            lookups += 1
        return lookups

    with ThreadPoolExecutor(6) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        changers = [pool.submit(change, name) for name in ("tiny", "strips", "tiny")]
        for changer in changers:
            changer.result(120)
        done.set()
        assert all(reader.result(60) for reader in readers)
    assert versions(repository) == [("strips", 1), ("tiny", 1), ("tiny", 2)]
