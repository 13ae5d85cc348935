"""The record of a run's data and machine, and the effect of changes."""

import os
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from helpers.files.shower_samples import toy_showers, write_showers
from helpers.models.training_runs import Silent, tiny_config
from zdc_common.errors import ConfigError
from zdc_common.file_content import sha256_of
from zdc_detector.card import ModelCard
from zdc_training.cli import main
from zdc_training.config.config import override_config
from zdc_training.data.datasets import load_split
from zdc_training.evaluation.subjects import open_subject
from zdc_training.export.service import export
from zdc_training.loop.fit import fit
from zdc_training.runs.provenance import PROVENANCE_FILE, located, read_provenance
from zdc_training.runs.ranges import trained_ranges
from zdc_training.runs.run import Run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Trained on a file without a title, with relative paths, in two sessions; evaluated and exported."""
    folder = tmp_path_factory.mktemp("own")
    config = override_config(tiny_config(folder), ["data.train=train.h5", "data.test=test.h5", "data.description="])
    with h5py.File(folder / "train.h5", "r+") as file:
        del file.attrs["title"]
        file.attrs["minimum_photons"] = 10
    run = Run(folder / "run")
    before = Path.cwd()
    os.chdir(folder)
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(config, run, False, Silent(interrupt_after=2))
    finally:
        os.chdir(before)
    fit(run.config(), run, True, Silent())  # from another folder
    main(["evaluate", str(run.folder), "--resamples", "5", "--repeats", "2"])
    export(run, folder / "models")
    return run


def test_a_run_records_what_it_was_made_with(own: Run) -> None:
    record = read_provenance(own)
    assert record is not None
    train = own.folder.parent / "train.h5"
    assert (record.train, record.train_sha256, record.minimum_photons) == (train, sha256_of(train), 10)
    training, validation = load_split(located(own, own.config().data))
    assert (record.showers, record.validation_showers) == (len(training), len(validation))
    assert record.ranges == trained_ranges(training, "cell")
    first, second = record.sessions
    assert (first.from_epoch, second.from_epoch) == (0, 2)
    assert (first.host, first.threads, first.device) == (socket.gethostname(), torch.get_num_threads(), "cpu")
    assert first.versions["torch"] == torch.__version__
    assert first.started <= second.started


def test_showers_without_a_description_are_called_what_they_are(own: Run) -> None:
    folder = own.folder.parent / "models" / "toy" / "1"
    card = ModelCard.read(folder)
    assert card.data.description == "showers of train.h5, which does not say how they were simulated"
    assert "responses with fewer than 10 photons" in card.limitations[2]
    for text in ((folder / "README.md").read_text(), (folder / "card.json").read_text()):
        assert "Geant4" not in text
        assert socket.gethostname() not in text.replace("localhost", "")
        assert str(own.folder.parent) not in text


@pytest.fixture
def copied(own: Run, tmp_path: Path) -> Run:
    """The run, with a copy of the training file that the test can change."""
    run = Run(tmp_path / "run")
    shutil.copytree(own.folder, run.folder)
    train = str(shutil.copy(own.folder.parent / "train.h5", tmp_path))
    text = (run.folder / PROVENANCE_FILE).read_text()
    (run.folder / PROVENANCE_FILE).write_text(text.replace(str(own.folder.parent / "train.h5"), train))
    return run


def test_data_that_changed_are_refused(copied: Run, tmp_path: Path) -> None:
    write_showers(tmp_path / "train.h5", toy_showers(160, seed=7))
    more = override_config(copied.config(), ["optimiser.epochs=6"])
    refused = r"train\.h5 has changed since .*run began to train on it \(sha256 .*; put the former file back, or train"
    for use in (
        lambda: export(copied, tmp_path / "models"),
        lambda: open_subject(copied.folder, None),
        lambda: fit(more, copied, True, Silent()),
    ):
        with pytest.raises(ConfigError, match=refused):
            use()
    (tmp_path / "train.h5").unlink()
    with pytest.raises(ConfigError, match=r"train\.h5: no such file"):
        export(copied, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_a_run_without_a_record_is_not_exported(copied: Run, tmp_path: Path) -> None:
    (copied.folder / PROVENANCE_FILE).write_text("{}")
    with pytest.raises(ConfigError, match=r"provenance\.json is damaged"):
        export(copied, tmp_path / "models")
    (copied.folder / PROVENANCE_FILE).unlink()
    with pytest.raises(ConfigError, match="does not say what it was trained on"):
        export(copied, tmp_path / "models")


def test_any_file_of_other_particles_may_be_the_test_file(own: Run, tmp_path: Path) -> None:
    other = write_showers(tmp_path / "other.h5", toy_showers(20, 4, seed=9))
    for folder in (own.folder, own.folder.parent / "models" / "toy" / "1"):
        subject = open_subject(folder, other)
        assert subject.test == other
        assert subject.ranges is not None
    with pytest.raises(ConfigError, match=r"nowhere\.h5: no such file; --test names"):
        open_subject(own.folder, tmp_path / "nowhere.h5")
    seen = load_split(located(own, own.config().data))[0]
    leak = write_showers(tmp_path / "leak.h5", replace(seen, particle_id=np.arange(len(seen), dtype=np.int32)))
    with pytest.raises(ConfigError, match=r"leak\.h5: row 0 and \d+ more are of particles that .*train\.h5 holds too"):
        open_subject(own.folder, leak)


def test_an_exported_model_away_from_its_data_says_what_was_not_checked(own: Run, tmp_path: Path) -> None:
    exported = own.folder.parent / "models" / "toy" / "1"
    with pytest.raises(ConfigError, match=r"test\.h5: no such file, nor .*; "):
        open_subject(exported, None)
    other = write_showers(tmp_path / "other.h5", toy_showers(20, 4, seed=9))
    (note,) = open_subject(exported, other).notes
    assert note.startswith("Whether other.h5 holds particles that were trained on was not checked: train.h5")
