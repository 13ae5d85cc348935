"""Callbacks of `train-zdc fit`: their calls, and that their errors do not end a training."""

import json
from pathlib import Path

import pytest
from helpers.models.training_runs import Silent, tiny_config
from zdc_common.errors import ConfigError
from zdc_training.config.config import override_config
from zdc_training.loop.callbacks import Followed, load_callback
from zdc_training.loop.fit import fit
from zdc_training.runs.run import Run

MODULE = """
import json

class Keeper:
    def __init__(self, config, folder):
        self.file = folder.with_suffix(".heard")
        self.heard = [config.output.name]

    def epoch(self, record):
        self.heard.append(record["epoch"])
        record.clear()  # its own copy

    def end(self, error):
        self.heard.append(repr(error))
        self.file.write_text(json.dumps(self.heard))

class Broken(Keeper):
    def epoch(self, record):
        raise OSError("the tracker is down")

    def end(self, error):
        raise AssertionError("asked again")

def refuses(config, folder):
    raise KeyError("token")
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the current folder, with another name in every test."""
    name = f"tracking_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return name


def test_callbacks_hear_every_epoch_and_how_it_ended(tmp_path: Path, module: str) -> None:
    run, silent = Run(tmp_path / "run"), Silent(interrupt_after=2)
    config = tiny_config(tmp_path)
    with pytest.raises(KeyboardInterrupt), Followed(silent, [f"{module}:Keeper"], config, run.folder) as reporter:
        fit(config, run, False, reporter)
    assert json.loads((tmp_path / "run.heard").read_text()) == ["toy", 1, 2, "KeyboardInterrupt()"]
    silent = Silent()
    with Followed(silent, [f"{module}:Keeper"], config, run.folder) as reporter:
        fit(config, run, True, reporter)
    assert json.loads((tmp_path / "run.heard").read_text()) == ["toy", 3, 4, "None"]
    assert [record["epoch"] for record in silent.records] == [3, 4]


def test_a_callback_that_fails_is_left_out_and_the_training_goes_on(tmp_path: Path, module: str) -> None:
    run, silent = Run(tmp_path / "run"), Silent()
    config = override_config(tiny_config(tmp_path), ["optimiser.epochs=2"])
    with Followed(silent, [f"{module}:Broken", f"{module}:Keeper"], config, run.folder) as reporter:
        fit(config, run, False, reporter)
    assert json.loads((tmp_path / "run.heard").read_text()) == ["toy", 1, 2, "None"]
    told = [text for text in silent.warnings if "Broken" in text]
    assert told == [f"--callback {module}:Broken failed and is not called again: OSError: the tracker is down"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "--callback nowhere: write MODULE:CLASS"),
        ("nowhere_at_all:X", "--callback nowhere_at_all:X: ModuleNotFoundError: No module named"),
        ("json:Nothing", "--callback json:Nothing: AttributeError: "),
    ],
)
def test_a_callback_that_is_not_there_is_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_callback(name)
    assert str(caught.value).startswith(message)


def test_a_callback_that_cannot_begin_is_refused_before_the_training(tmp_path: Path, module: str) -> None:
    with pytest.raises(ConfigError, match="refuses: KeyError: 'token'"):
        Followed(Silent(), [f"{module}:refuses"], tiny_config(tmp_path), tmp_path / "run")
