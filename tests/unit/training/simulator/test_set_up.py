"""Set-ups: the shipped ones, one's own, and errors."""

from pathlib import Path

import pytest
from zdc_common.errors import ConfigError
from zdc_detector.calorimeters import find_calorimeter
from zdc_training.simulator.set_up import read_set_up, shipped_set_ups


@pytest.mark.parametrize("name", shipped_set_ups())
def test_shipped_set_ups(name: str) -> None:
    set_up = read_set_up(name)
    assert set_up.calorimeter == find_calorimeter(name)
    assert set_up.sha256 == read_set_up(str(shipped_set_ups()[name])).sha256
    assert set_up.elements[-2:] == ("Si", "O")


def test_set_ups_differ_in_their_hash() -> None:
    assert read_set_up("zn").sha256 != read_set_up("zp").sha256


def test_a_calorimeter_beside_the_file_or_in_it(tmp_path: Path) -> None:
    text = shipped_set_ups()["zn"].read_text()
    own = find_calorimeter("ZN").model_copy(update={"name": "mine"})
    lines = [f"{key} = {value!r}".replace("(", "[").replace(")", "]") for key, value in own.model_dump().items()]
    (tmp_path / "face.toml").write_text("\n".join(lines))
    (tmp_path / "beside.toml").write_text(text.replace('"zn"', '"face.toml"'))
    (tmp_path / "inside.toml").write_text(
        "\n".join(line for line in text.splitlines() if not line.startswith("calorimeter"))
        + "\n[calorimeter]\n"
        + "\n".join(lines)
    )
    assert read_set_up(str(tmp_path / "beside.toml")).calorimeter == own
    assert read_set_up(str(tmp_path / "inside.toml")).calorimeter == own


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("fibre_radius = 0.01825", "fibre_radius = 0.04", "geometry: a fibre of radius 0.04 cm does not fit"),
        ("groove = 0.06 ", "groove = 0.2 ", "a groove of 0.2 cm does not fit into a cell of"),
        ("W = 0.93", "W = 0.9", "absorber.mass_fractions: mass fractions sum to 0.97; they must sum to 1"),
        ("density = 17.6", "density = 0", "absorber.density = 0: Input should be greater than 0"),
        ('"FTFP_BERT"', '"FTF"', "physics.hadronic = 'FTF'"),
        ("scale = 0.126", "", "light.scale: Field required"),
        ('calorimeter = "zn"', 'calorimeter = "zq"', "zq"),
        ("[light]", "[light", "not TOML"),
        ("sweep_end = 6750.0", "sweep_end = 11300", "sweep_end = 11300 cm is not before the face at 11259.8 cm"),
    ],
)
def test_errors_name_the_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = shipped_set_ups()["zn"].read_text()
    assert old in text
    path = tmp_path / "own.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(ConfigError) as error:
        read_set_up(str(path))
    assert message in str(error.value)
