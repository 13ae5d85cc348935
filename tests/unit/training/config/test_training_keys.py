"""`train-zdc keys`: its list is complete, and its TOML file is valid."""

import tomllib
from pathlib import Path

import pytest
from zdc_training.cli import main
from zdc_training.config.config import load_config, parse_config, shipped_configs
from zdc_training.config.keys import all_keys, as_toml, keys_of
from zdc_training.config.methods import config_classes

METHODS = config_classes()


@pytest.mark.parametrize("method", METHODS)
def test_every_key_of_a_method_has_a_meaning_and_the_default_that_it_has_in_use(method: str) -> None:
    tree = METHODS[method].model_validate({}).model_dump(mode="json")
    tables = {section: table if isinstance(table, dict) else {"": table} for section, table in tree.items()}
    flat = {
        f"{section}.{name}".rstrip("."): value for section, table in tables.items() for name, value in table.items()
    }
    flat["data.test"] = None  # the shipped one's is filled in
    assert {key.dotted: key.default for key in keys_of(METHODS[method])} == flat
    assert all(len(key.meaning) > 5 for key in keys_of(METHODS[method]))


@pytest.mark.parametrize("name", [*METHODS, *shipped_configs()])
def test_what_it_prints_of_a_method_or_a_configuration_is_that(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    expected = METHODS[name].model_validate({}) if name in METHODS else load_config(name)
    main(["keys", name])
    printed = capsys.readouterr().out
    assert parse_config(tomllib.loads(printed), name) == expected
    (tmp_path / "mine.toml").write_text(printed)
    assert load_config(str(tmp_path / "mine.toml")) == expected


def test_without_a_name_it_has_every_key_of_every_method(capsys: pytest.CaptureFixture[str]) -> None:
    main(["keys"])
    printed = capsys.readouterr().out
    assert printed == all_keys(METHODS)
    sections: dict[str, str] = {}
    for block in printed.split("\n["):
        sections[block.partition("]")[0] if sections else ""] = block
    for kind in METHODS.values():
        for key in keys_of(kind):
            assert (
                key.name == "method"
                or f"\n{key.name} = " in sections[key.section]
                or (f"\n# {key.name} = ..." in sections[key.section])
            )
    assert "# of method vae: weight of the Kullback-Leibler divergence" in printed


def test_a_value_that_is_no_default_stands_beside_it() -> None:
    text = as_toml(load_config("zn-fast"))
    assert "# passes over the training showers; > 0 (default: 100)\nepochs = 80\n" in text
    assert "\n# limit = ...\n" in text
