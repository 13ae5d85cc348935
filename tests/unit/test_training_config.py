"""Configurations: shipped ones are valid, wrong ones are refused with the key."""

from pathlib import Path

import pytest
from zdc_detector.errors import ConfigError
from zdc_detector.finish import Finish
from zdc_training.config import data_path, load_config, shipped_configs


@pytest.mark.parametrize("name", sorted(shipped_configs()))
def test_shipped_configurations_are_valid_and_find_their_data(name: str) -> None:
    config = load_config(name)
    assert data_path(config.data.train).is_file()
    assert data_path(config.data.test).is_file()


def test_overrides_are_toml_values_or_bare_words() -> None:
    config = load_config("smoke", ["optimiser.epochs=7", "output.finish=round", "model.channels=[2, 2, 2, 2]"])
    assert (config.optimiser.epochs, config.output.finish, config.model.channels) == (7, Finish.ROUND, (2, 2, 2, 2))


@pytest.mark.parametrize(
    ("source", "override", "message"),
    [
        ("nowhere.toml", "", "nowhere.toml: no such file, nor one of"),
        ("smoke", "optimiser.epochs", "write section.key=value"),
        ("smoke", "optimiser.epoch=3", "optimiser.epoch: Extra inputs are not permitted"),
        ("smoke", "optimiser.epochs=0", "optimiser.epochs: Input should be greater than 0, got 0"),
        ("smoke", "seed.x=1", "seed is not a section"),
        ("smoke", "output.finish=none", "output.finish"),
    ],
)
def test_wrong_ones_are_refused(source: str, override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(source, [override] if override else [])
    assert message in str(caught.value)


def test_broken_toml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("seed = \n")
    with pytest.raises(ConfigError, match="not TOML"):
        load_config(str(path))


def test_missing_data_names_both_places() -> None:
    with pytest.raises(ConfigError, match=r"absent\.h5: no such file, nor .*absent\.h5; set data\.train"):
        data_path(Path("absent.h5"))
