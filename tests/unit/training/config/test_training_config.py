"""Configurations: shipped ones are valid, wrong ones are refused with the key."""

from pathlib import Path

import pytest
from helpers.files.shower_samples import DATA
from zdc_common.errors import ConfigError
from zdc_detector.finish import Finish
from zdc_training.config.config import (
    FIXED,
    changed_keys,
    check_resumable,
    data_path,
    held_out_path,
    load_config,
    override_config,
    shipped_configs,
)
from zdc_training.config.images import SinkhornConfig


@pytest.mark.parametrize("name", sorted(shipped_configs()))
def test_shipped_configurations_are_valid_and_find_their_data(name: str) -> None:
    config = load_config(name)
    if name == "zn-fast-2" and not (DATA / config.data.train).is_file():
        pytest.skip("its showers are not simulated yet")
    assert data_path(config.data.train).is_file()
    assert held_out_path(config.data).is_file()


def test_overrides_are_toml_values_or_bare_words() -> None:
    config = load_config("smoke", ["optimiser.epochs=7", "output.finish=round", "model.channels=[2, 2, 2, 2]"])
    assert isinstance(config, SinkhornConfig)
    assert (config.optimiser.epochs, config.output.finish, config.model.channels) == (7, Finish.ROUND, (2, 2, 2, 2))


@pytest.mark.parametrize(
    ("source", "override", "message"),
    [
        ("nowhere.toml", "", "nowhere.toml: no such file, nor one of"),
        ("smoke", "optimiser.epochs", "write section.key=value"),
        ("smoke", "optimiser.epoch=3", "optimiser.epoch: no such key; did you mean optimiser.epochs?"),
        ("smoke", "epochs=3", "epochs: no such key; did you mean optimiser.epochs?"),
        ("smoke", "loss.kl_weight=3", "loss.kl_weight: no key of this method; vae has it"),
        ("smoke", "method=sinkhron", "method: sinkhron is not one of sinkhorn, vae"),
        ("smoke", "method=sinkhron", "; did you mean sinkhorn?"),
        ("zn-fats", "", "; did you mean zn-fast?"),
        ("smoke", "optimiser.epochs=0", "optimiser.epochs: Input should be greater than 0, got 0"),
        ("smoke", "seed.x=1", "seed is not a section"),
        ("smoke", "output.finish=none", "output.finish"),
        ("smoke", "optimiser.batch_size=1", "optimiser.batch_size: Input should be greater than or equal to 2, got 1"),
        ("smoke", "loss.blur=nan", "loss.blur: Input should be a finite number"),
        ("smoke", f"data.split_seed={2**53}", "data.split_seed: Input should be less than 9007199254740992"),
    ],
)
def test_wrong_ones_are_refused(source: str, override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(source, [override] if override else [])
    assert message in str(caught.value)


def test_other_showers_inherit_nothing_that_was_found_with_ours() -> None:
    shipped, own = load_config("zn-e2esae"), load_config("zn-e2esae", ["data.train=mine.h5"])
    assert shipped.data.limitations
    assert shipped.output.licence == "Apache-2.0"
    assert (own.data.test, own.data.description, own.data.limitations, own.output.licence) == (None, "", (), "")
    assert own.output.limitations == shipped.output.limitations
    assert not any(word in own.model_dump_json() for word in ("Geant4", "zn_geant4"))
    with pytest.raises(ConfigError, match=r"no test file is set for mine\.h5; name one with --test, or in data\.test"):
        held_out_path(own.data)
    said = load_config("zn-e2esae", ["data.test=t.h5", "output.licence=MIT", "data.train=mine.h5"])
    assert (said.data.test, said.output.licence) == (Path("t.h5"), "MIT")
    assert load_config("zn-e2esae", ["data.train=zn_geant4_train.h5"]) == shipped


def test_files_beside_a_configuration_are_found_from_any_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.h5").touch()
    (tmp_path / "mine.toml").write_text('[data]\ntrain = "mine.h5"\ntest = "other.h5"\n')
    data = load_config(str(tmp_path / "mine.toml")).data
    assert (data.train, data.test) == (tmp_path / "mine.h5", Path("other.h5"))


def test_a_key_that_is_unset_has_its_default_even_where_the_file_or_a_run_sets_it() -> None:
    limited = load_config("smoke")
    assert limited.data.limit == 2000
    assert load_config("smoke", unset=["data.limit"]).data.limit is None
    assert override_config(limited, ["optimiser.epochs=7"], ["data.limit", "optimiser.epochs"]).optimiser.epochs == 7
    assert override_config(limited, [], ["optimiser.epochs"]).optimiser.epochs == 100
    for wrong, meant in (("data.limits", "data.limit"), ("limit", "data.limit"), ("sed", "seed")):
        with pytest.raises(ConfigError, match=rf"^--unset {wrong}: no such key; did you mean {meant}\?$"):
            override_config(limited, [], [wrong])


def test_a_message_repeats_no_more_than_a_line_of_what_was_written() -> None:
    for long in (f"seed={'9' * 500}", f"{'x' * 500}=1", f"method={'y' * 500}", "z" * 500):
        with pytest.raises(ConfigError) as caught:
            load_config("smoke", [long])
        assert len(str(caught.value)) < 350


def test_broken_toml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    for content in (b"seed = \n", b"\xff\xfe"):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="not TOML"):
            load_config(str(path))


def test_the_plain_variant_is_what_the_paper_has() -> None:
    paper, shipped = load_config("paper"), load_config("zn-e2esae")
    assert isinstance(paper, SinkhornConfig)
    assert isinstance(shipped, SinkhornConfig)
    assert (paper.model.frame, paper.model.scaling, paper.model.conditional) == ("face", "linear", True)
    assert (paper.loss.reconstruction, paper.output.finish, paper.optimiser.batch_size) == ("mse", Finish.ROUND, 1000)
    assert paper.model.model_copy(update={"frame": "cell", "scaling": "cell"}) == shipped.model


def test_changed_keys_have_their_old_and_new_values() -> None:
    old = SinkhornConfig()
    new = override_config(old, ["seed=2", "optimiser.epochs=7", "model.channels=[2, 2, 2, 2]"])
    expected = {"seed": (1, 2), "model.channels": ([16, 32, 64, 64], [2, 2, 2, 2]), "optimiser.epochs": (100, 7)}
    assert changed_keys(old, new) == expected
    assert changed_keys(old, old) == {}


@pytest.mark.parametrize(
    "override",
    ["seed=2", "data.train=b.h5", "data.validation_share=0.2", "data.split_seed=2", "data.limit=9", "model.latent=8",
     "loss.reconstruction=poisson"],
)  # fmt: skip
def test_a_resumed_run_keeps_what_its_weights_and_its_split_depend_on(override: str) -> None:
    old = SinkhornConfig()
    with pytest.raises(ConfigError, match=rf"{override.partition('=')[0]}: a resumed run keeps .* with --run"):
        check_resumable(old, override_config(old, [override]))


def test_fixed_keys_exist() -> None:
    tree = SinkhornConfig().model_dump()
    for key in FIXED:
        section, _, name = key.partition(".")
        assert section in tree
        assert not name or name in tree[section]


def test_missing_data_names_both_places() -> None:
    with pytest.raises(ConfigError, match=r"absent\.h5: no such file, nor .*absent\.h5; set data\.train"):
        data_path(Path("absent.h5"))
