"""Calorimeters as TOML files."""

from pathlib import Path

import numpy as np
import pytest
from zdc_common.errors import ConfigError
from zdc_detector.calorimeters import find_calorimeter, shipped_calorimeters

BAR = """
name = "BAR"
shape = [12, 1]
half_width = [6.0, 0.5]
face_z = 1000.0
channel_names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"]
channel_map = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "c"]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "bar.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_package_has_alice_s_two_hadron_calorimeters() -> None:
    shipped = shipped_calorimeters()
    assert {name: each.shape for name, each in shipped.items()} == {"ZN": (44, 44), "ZP": (56, 30)}
    assert find_calorimeter("zp") is shipped["ZP"]
    assert shipped["ZN"].half_width == (3.52, 3.52)
    assert (shipped["ZP"].half_width, shipped["ZP"].face_z) == ((11.2, 6.0), 11251.8)


def test_a_file_of_one_s_own_can_have_more_than_nine_channels(tmp_path: Path) -> None:
    bar = find_calorimeter(written(tmp_path, BAR))
    assert bar.channel_index.tolist() == [[i] for i in range(12)]
    assert bar.channel_sums(np.arange(12, dtype=np.uint16).reshape(1, 12, 1)).tolist() == [list(range(12))]
    assert bar.centre == (0, 0)
    assert find_calorimeter(str(tmp_path / "bar.toml")) == bar


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("shape = [12, 1]", "shape = [12, 0]", "shape.1: Input should be greater than or equal to 1"),
        ("shape = [12, 1]", "shape = [257, 256]", "has 65792 fibres; at most 65536 can be numbered"),
        ("face_z = 1000.0", "", "face_z: Field required"),
        ("face_z = 1000.0", "face_z = inf", "face_z: Input should be a finite number"),
        ("face_z", "depth", "depth: Extra inputs are not permitted"),
        ('"c"]', "]", "channel_map: Value error, channel_map must have 12 strings of 1 character"),
        ('name = "BAR"', "name =", "cannot be read as the TOML of a calorimeter"),
    ],
)
def test_a_wrong_file_is_refused_with_its_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in BAR
    with pytest.raises(ConfigError, match=message) as caught:
        find_calorimeter(written(tmp_path, BAR.replace(old, new)))
    assert str(caught.value).startswith(f"{tmp_path / 'bar.toml'}: ")


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'ZX' is neither a file nor one of ZN, ZP; .* TOML"):
        find_calorimeter("ZX")
