"""Files of responses with inconsistent hits: refused with the name of the data set, never read wrongly."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from helpers.calorimeters import ZN
from zdc_common.errors import FileFormatError
from zdc_detector.particles import Particles
from zdc_detector.shower_rows import read_rows
from zdc_detector.showers import ShowerWriter

OFFSETS, FIBRE, PHOTONS = (np.array(v) for v in ([0, 2, 2, 3], [0, 1935, 7], [5, 6, 7]))


def hits_file(path: Path, **changed: Any) -> Path:
    """Three rows; the first has two hits, the last one."""
    particles = Particles.from_columns({"pdg": [22] * 3, "px": [0] * 3, "py": [0] * 3, "pz": [100] * 3})
    with ShowerWriter(path, ZN, "toy") as writer:
        writer.append(particles, None, np.array([2**40, 2**40, 1]))
    with h5py.File(path, "a") as file:
        file.attrs["calorimeter"] = np.bytes_(b"ZN")  # as other programs write text
        for name, values in ({"offsets": OFFSETS, "fibre": FIBRE, "photons": PHOTONS} | changed).items():
            if values is not None:
                file[f"hits/{name}"] = values
    return path


def test_hits_are_filled_in_and_particle_ids_are_whole(tmp_path: Path) -> None:
    stored = read_rows(hits_file(tmp_path / "a.h5"))
    assert stored.responses.reshape(3, -1)[:, [0, 1935, 7]].tolist() == [[5, 6, 0], [0, 0, 0], [0, 0, 7]]
    assert stored.particle_id.tolist() == [2**40, 2**40, 1]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"offsets": None}, "holds no data set 'hits/offsets' of numbers and one dimension"),
        ({"fibre": None}, "holds no data set 'hits/fibre'"),
        ({"photons": np.array([b"a"] * 3)}, "holds no data set 'hits/photons' of numbers"),
        ({"offsets": np.zeros((4, 2), dtype=int)}, "holds no data set 'hits/offsets' of numbers and one dimension"),
        ({"photons": PHOTONS[:2]}, "hits/fibre has 3 entries and hits/photons 2"),
        ({"offsets": np.array([3, 2, 2, 0])}, "hits/offsets must rise from 0 to 3"),
        ({"offsets": np.array([0, 2, 2, 2**40])}, "hits/offsets must rise from 0 to 3"),
        ({"fibre": np.array([0, 1936, 7])}, "row 0: a hit is in fibre 1936; ZN has 0 to 1935"),
        ({"fibre": np.array([0, 1, -1])}, "row 2: a hit is in fibre -1; ZN has 0 to 1935"),
    ],
)
def test_hits_that_do_not_belong_together_are_named(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    path = hits_file(tmp_path / "a.h5", **changed)
    with pytest.raises(FileFormatError) as caught:
        read_rows(path)
    assert str(caught.value).startswith(f"{path}: {message}")
