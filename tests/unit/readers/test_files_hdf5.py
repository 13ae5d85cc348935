from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers.files.shower_samples import DATA, toy_showers, write_showers
from zdc_common.errors import FileFormatError
from zdc_detector.particles import Particles
from zdc_detector.showers import read_showers
from zdc_readers import open_particles


def test_each_particle_of_a_file_of_responses_is_read_once(tmp_path: Path) -> None:
    showers = toy_showers(30, 4)
    reader = open_particles(write_showers(tmp_path / "toy.h5", showers), block_rows=7)
    blocks = list(reader)
    assert [len(block.particles) for block in blocks] == [7, 7, 7, 7, 2]
    particles = Particles.concatenate([block.particles for block in blocks])
    first = np.sort(np.unique(showers.particle_id, return_index=True)[1])
    np.testing.assert_array_equal(particles.pdg, showers.particles.pdg[first])
    np.testing.assert_array_equal(particles.conditions, showers.particles.conditions[first])
    assert reader.progress == (30, 30)
    assert reader.notes == ["its 120 rows are repeated simulations; each particle is read once"]
    assert blocks[1].place(2) == f"row {first[9]}"
    assert reader.count == 30


@pytest.mark.parametrize(("start", "stop"), [(0, 7), (5, 30), (29, 30), (8, 8)])
def test_only_some_particles_are_read(tmp_path: Path, start: int, stop: int) -> None:
    path = write_showers(tmp_path / "toy.h5", toy_showers(30, 4))
    whole = [block.place(i) for block in open_particles(path) for i in range(len(block.particles))]
    reader = open_particles(path, block_rows=7)
    reader.only(start, stop)
    assert [block.place(i) for block in reader for i in range(len(block.particles))] == whole[start:stop]


def test_the_shipped_data_are_read() -> None:
    path = DATA / "zn_geant4_test.h5"
    particles = Particles.concatenate([block.particles for block in open_particles(path)])
    assert len(particles) == 300
    known = {row.tobytes() for row in read_showers(path).particles.conditions[:, 1:7]}
    assert {row.tobytes() for row in particles.conditions[:, 1:7]} == known


def test_event_and_barcode_are_kept(tmp_path: Path) -> None:
    showers = toy_showers(6)
    path = write_showers(tmp_path / "toy.h5", showers)
    with h5py.File(path, "a") as file:
        file["event"] = np.arange(6) + 70
    (block,) = open_particles(path)
    assert block.columns["event"].tolist() == [70, 71, 72, 73, 74, 75]


def test_a_wrong_particle_is_named_by_its_row(tmp_path: Path) -> None:
    path = write_showers(tmp_path / "toy.h5", toy_showers(6))
    with h5py.File(path, "a") as file:
        file["particles"][4, 7] = 5.0
    with pytest.raises(FileFormatError, match=r"toy\.h5: row 4: mass = 5 MeV; the PDG table has"):
        list(open_particles(path))


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("pdg", None, "there is no data set 'pdg' with 1 dimension"),
        ("particles", np.zeros((6, 8)), "particles has 8 columns; it must have energy"),
        ("particle_id", np.zeros(5, dtype=int), "numbers of rows differ: pdg has 6, particle_id has 5"),
    ],
)
def test_other_layouts_are_refused(
    tmp_path: Path, name: str, values: np.ndarray[tuple[int, ...], np.dtype[np.generic]] | None, message: str
) -> None:
    path = write_showers(tmp_path / "toy.h5", toy_showers(6))
    with h5py.File(path, "a") as file:
        del file[name]
        if values is not None:
            file[name] = values
    with pytest.raises(FileFormatError, match=message):
        open_particles(path)


def test_a_file_that_is_not_hdf5_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "toy.h5"
    path.write_text("pdg,px,py,pz\n")
    with pytest.raises(FileFormatError, match=r"toy\.h5: cannot be read as HDF5"):
        open_particles(path)
