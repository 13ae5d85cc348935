import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers.calorimeters import BOARD, ZN
from helpers.files.shower_samples import DATA, face_particles, toy_showers, write_showers
from zdc_common.errors import FileFormatError
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.shower_rows import read_rows
from zdc_detector.showers import Showers, ShowerWriter, read_showers


def test_what_is_written_is_read(tmp_path: Path) -> None:
    showers = toy_showers(20, 3)
    path = tmp_path / "showers.h5"
    with ShowerWriter(path, ZN, "toy", {"seed": 3}) as writer:
        for start in range(0, 60, 17):
            block = showers[start : start + 17]
            seconds = np.arange(start, start + len(block), dtype=np.float32)
            writer.append(block.particles, block.responses, block.particle_id, {"cpu_seconds": seconds})
    read = read_showers(path)
    assert read.responses.tobytes() == showers.responses.tobytes()
    assert read.particles.conditions.tobytes() == showers.particles.conditions.tobytes()
    assert read.particles.pdg.tolist() == showers.particles.pdg.tolist()
    assert read.particle_id.tolist() == showers.particle_id.tolist()
    assert read.extra["cpu_seconds"].tolist() == list(range(60))
    assert read.calorimeter == ZN
    with h5py.File(path) as file:
        assert file.attrs["seed"] == 3
        assert list(file["particles"].attrs["units"]) == [
            "GeV",
            "cm",
            "cm",
            "cm",
            "GeV/c",
            "GeV/c",
            "GeV/c",
            "MeV",
            "e",
        ]


@pytest.mark.parametrize(
    "calorimeter", [BOARD, ZN.model_copy(update={"centre": (1.5, -2.0)})], ids=["BOARD", "another ZN"]
)
def test_a_file_contains_its_calorimeter(tmp_path: Path, calorimeter: Calorimeter) -> None:
    responses = np.ones((2, *calorimeter.shape), dtype=np.uint16)
    showers = Showers(face_particles(2), responses, np.arange(2), calorimeter)
    path = write_showers(tmp_path / "showers.h5", showers)
    assert read_showers(path).calorimeter == calorimeter
    assert read_rows(path).calorimeter == calorimeter
    with h5py.File(path) as file:
        assert file.attrs["calorimeter"] == calorimeter.name


@pytest.mark.parametrize("name", ["ZN", None])
def test_an_older_file_has_only_the_name_of_its_calorimeter(tmp_path: Path, name: str | None) -> None:
    path = write_showers(tmp_path / "showers.h5", toy_showers(3))
    with h5py.File(path, "a") as file:
        del file["calorimeter"], file.attrs["calorimeter"]
        if name:
            file.attrs["calorimeter"] = name
    assert read_showers(path).calorimeter == read_rows(path).calorimeter == ZN


def test_a_damaged_calorimeter_is_refused(tmp_path: Path) -> None:
    path = write_showers(tmp_path / "showers.h5", toy_showers(3))
    with h5py.File(path, "a") as file:
        text = file["calorimeter"].asstr()[()]
        del file["calorimeter"]
        file["calorimeter"] = text.replace("44", "43", 1)
    for read in (read_showers, read_rows):
        with pytest.raises(FileFormatError, match="'calorimeter' is not the JSON text of a calorimeter"):
            read(path)


def test_an_interrupted_file_leaves_nothing(tmp_path: Path) -> None:
    showers = toy_showers(5)
    path = tmp_path / "showers.h5"
    with pytest.raises(RuntimeError, match="stop"), ShowerWriter(path, ZN, "toy") as writer:  # noqa: PT012
        writer.append(showers.particles, showers.responses, showers.particle_id)
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error_before_hdf5_meets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    showers = toy_showers(2, 1)
    usage = shutil.disk_usage(tmp_path)
    with (  # noqa: PT012
        pytest.raises(OSError, match="the disk is full; make room"),
        ShowerWriter(tmp_path / "a.h5", ZN, "toy") as file,
    ):
        file.append(showers.particles, showers.responses, showers.particle_id)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1 << 20))
        file.append(showers.particles, showers.responses, showers.particle_id)
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_file_has_another_name(tmp_path: Path) -> None:
    showers = toy_showers(5)
    writer = ShowerWriter(tmp_path / "showers.h5", ZN, "toy")
    writer.append(showers.particles, showers.responses, showers.particle_id)
    assert [path.name for path in tmp_path.iterdir()] == ["showers.h5.part"]
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["showers.h5"]


def test_rows_by_mask_slice_and_index() -> None:
    showers = toy_showers(9, 2)
    mask = showers.particle_id == 1003
    assert mask.sum() == 2
    for rows in (mask, np.flatnonzero(mask)):
        assert showers[rows].particle_id.tolist() == [1003, 1003]
        assert showers[rows].responses.tobytes() == showers.responses[mask].tobytes()
    assert len(showers[2:5]) == 3


def test_counts_may_be_stored_as_floats(tmp_path: Path) -> None:
    showers = toy_showers(5)
    path = write_showers(tmp_path / "a.h5", showers)
    with h5py.File(path, "r+") as file:
        del file["responses"]
        file["responses"] = showers.responses.astype(np.float64)
    read = read_showers(path)
    assert read.responses.dtype == np.uint16
    assert read.responses.tobytes() == showers.responses.tobytes()


def test_reading_stops_at_the_first_problem_and_counts_the_others(tmp_path: Path) -> None:
    path = write_showers(tmp_path / "a.h5", toy_showers(5))
    with h5py.File(path, "r+") as file:
        file["particles"][3, 4] = np.nan
        file["particles"][4, 0] *= 2
    with pytest.raises(FileFormatError, match=r"a.h5: row 3: px is nan; remove or repair the row; 1 more kinds of"):
        read_showers(path)


def test_what_is_not_hdf5_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_text("particles")
    with pytest.raises(FileFormatError, match=r"a\.h5: cannot be read as HDF5"):
        read_showers(path)
    with pytest.raises(FileFormatError, match=r"none\.h5: cannot be read as HDF5: .*No such file"):
        read_showers(tmp_path / "none.h5")


@pytest.mark.parametrize(("name", "rows"), [("train", 11900), ("test", 1500), ("repeats", 960), ("variant", 4650)])
def test_the_shipped_files_are_good(name: str, rows: int) -> None:
    assert len(read_showers(DATA / f"zn_geant4_{name}.h5")) == rows
