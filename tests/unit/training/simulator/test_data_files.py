"""Which data files of Geant4 are used: the user's official ones, or stand-ins; never a download unasked."""

from pathlib import Path

import pytest
from zdc_common.errors import ConfigError
from zdc_training.simulator.data_files import find_data_files

SETS = {
    "G4LEDATA": "G4EMLOW8.8",
    "G4PARTICLEXSDATA": "G4PARTICLEXS4.2",
    "G4LEVELGAMMADATA": "PhotonEvaporation6.1.2",
    "G4ENSDFSTATEDATA": "G4ENSDFSTATE3.0",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder without data files."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


def make_sets(root: Path) -> None:
    for name in SETS.values():
        (root / name).mkdir(parents=True)


def test_without_any_there_are_stand_ins(tmp_path: Path) -> None:
    found = find_data_files("auto", {})
    assert not found.official
    assert found.missing == tuple(SETS)
    variables = found.prepare(tmp_path, ["W"])
    assert set(variables) == {*SETS, "GEANT4_DATA_DIR"}
    assert all(Path(place).is_dir() for place in variables.values())


def test_one_variable_for_each_set(tmp_path: Path) -> None:
    make_sets(tmp_path)
    environment = {variable: str(tmp_path / name) for variable, name in SETS.items()}
    found = find_data_files("auto", environment)
    assert found.official
    assert found.names == tuple(SETS.values())
    assert found.prepare(tmp_path, ["W"]) == environment | {"GEANT4_DATA_DIR": str(tmp_path)}
    assert not find_data_files("stand-in", environment).official


def test_one_folder_for_all_sets(tmp_path: Path) -> None:
    make_sets(tmp_path / "data")
    found = find_data_files("official", {"GEANT4_DATA_DIR": str(tmp_path / "data")})
    assert found.official
    assert found.variables["G4LEDATA"] == str(tmp_path / "data/G4EMLOW8.8")


def test_the_folder_of_downloads(home: Path) -> None:
    make_sets(home / ".geant4_pybind")
    assert find_data_files("auto", {}).official


def test_an_incomplete_set_is_named(tmp_path: Path) -> None:
    make_sets(tmp_path)
    (tmp_path / "G4PARTICLEXS4.2").rmdir()
    environment = {"GEANT4_DATA_DIR": str(tmp_path)}
    assert find_data_files("auto", environment).missing == ("G4PARTICLEXSDATA",)
    with pytest.raises(ConfigError, match=r"no official data files for G4PARTICLEXSDATA; set .* --download-data"):
        find_data_files("official", environment)


def test_a_variable_without_a_folder_is_an_error() -> None:
    with pytest.raises(ConfigError, match="G4LEDATA=/nowhere: no such folder"):
        find_data_files("auto", {"G4LEDATA": "/nowhere"})
