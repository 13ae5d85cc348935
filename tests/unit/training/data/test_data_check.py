from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers.files.shower_samples import DATA, toy_showers, write_showers
from zdc_common.errors import FileFormatError
from zdc_training.data.check_data import check_data


def test_a_good_file_is_described() -> None:
    report = check_data(DATA / "zn_geant4_test.h5")
    assert report.exit_code == 0
    assert (report.problems, report.warnings) == ((), ())
    lines = [" ".join(line.split()) for line in str(report).splitlines()]
    assert "calorimeter ZN, 44 x 44 fibres" in lines
    assert "showers 1500 of 300 particles, 5 simulations of each" in lines
    assert "photon sum mean 198.7, largest 1188; brightest fibre 315" in lines
    assert "empty 8.33% of the responses" in lines
    assert "off the face 0 showers whose straight line misses it" in lines
    assert "duplicates 0 responses with photons equal to an earlier one" in lines
    assert "other data cpu_seconds: not read by training" in lines
    assert "2112 n 665 133 50.6 .. 2424.6 243.8 3.91%" in lines
    assert lines[-1] == "no problems found"


def test_what_is_odd_but_not_wrong_is_counted(tmp_path: Path) -> None:
    showers = toy_showers(10, 2)
    lit = np.flatnonzero(showers.responses.sum(axis=(1, 2)) > 0)
    showers.responses[lit[1]] = showers.responses[lit[0]]
    rows = showers.particle_id == showers.particle_id[0]
    showers.particles.conditions[rows, 1] += 4  # produced outside the face, flying along the beam
    report = check_data(write_showers(tmp_path / "a.h5", showers))
    assert report.exit_code == 0
    assert "duplicates    1 responses" in report.summary
    assert "off the face  2 showers" in report.summary


def test_what_spoils_a_training_is_said(tmp_path: Path) -> None:
    showers = toy_showers(200, 2)
    sums = showers.responses.sum(axis=(1, 2))
    bright = np.flatnonzero(sums > 60)
    showers.responses[bright[1:4]] = showers.responses[bright[0]]  # three copies
    kept = showers[showers.responses.sum(axis=(1, 2)) >= 10]
    photon = int(np.flatnonzero(kept.particles.pdg == 22)[0])
    same = kept.particle_id == kept.particle_id[photon]
    kept.particles.conditions[np.ix_(same, [0, 4, 5, 6])] *= 1000  # MeV: of a photon nothing else tells
    report = check_data(write_showers(tmp_path / "a.h5", kept), "zn-e2esae")
    assert report.exit_code == 0
    energy, faint, copies = report.warnings
    assert energy.startswith(f"row {np.flatnonzero(same)[0]}: energy = ")
    assert "are energies and momenta in MeV? They must be in GeV" in energy
    assert faint.startswith("no response has fewer than 10 photons: if a filter dropped the faint and the empty ones")
    assert copies.startswith("3 responses with more than 30 photons equal an earlier one")
    assert str(report).count("\nwarning: ") == 3


def test_species_that_a_configuration_does_not_list_are_named(tmp_path: Path) -> None:
    showers = toy_showers(20)
    strange = showers.particles.pdg == 310
    showers.particles.pdg[strange] = 311  # K0, of the same mass and charge
    path = write_showers(tmp_path / "a.h5", showers)
    (warning,) = check_data(path).warnings
    assert warning.startswith(f"{strange.sum()} showers of K0 (311), which zn-fast does not list")
    assert check_data(path, "zn-e2esae").warnings == ()


def test_a_file_without_light_is_told(tmp_path: Path) -> None:
    showers = toy_showers(20)
    showers.responses[showers.particles.pdg == 22] = 0
    (warning,) = check_data(write_showers(tmp_path / "a.h5", showers)).warnings
    assert warning == f"all {np.count_nonzero(showers.particles.pdg == 22)} responses of gamma (22) are empty"
    showers.responses[:] = 0
    (warning,) = check_data(write_showers(tmp_path / "b.h5", showers)).warnings
    assert warning.startswith("no response has a photon")


def test_lengths_in_another_unit_are_seen(tmp_path: Path) -> None:
    showers = toy_showers(20)
    showers.particles.conditions[:, 1] += 50
    (warning,) = check_data(write_showers(tmp_path / "a.h5", showers)).warnings
    assert warning.startswith("the straight lines of 20 of 20 particles miss the face of ZN: are vertices in cm")


def test_all_kinds_of_problems_are_listed_beside_the_summary(tmp_path: Path) -> None:
    path = write_showers(tmp_path / "a.h5", toy_showers(10, 2))
    with h5py.File(path, "r+") as file:
        counts = file["responses"][()].astype(np.float32)
        counts[3, 0, 0] = -2
        counts[[5, 6], 0, 0] = np.nan
        del file["responses"]
        file["responses"] = counts
        file["particles"][7, 4] = np.inf
        file["particles"][8, 0] *= 1000
    report = check_data(path)
    assert report.exit_code == 1
    assert "showers       20 of 10 particles" in report.summary
    text = str(report)
    assert "kinds of problem:" in text
    assert "  - row 3: a photon count of -2 is negative; photon counts start at 0" in text
    assert "  - row 5: a photon count of nan is not finite; remove the row (and 1 more rows)" in text
    assert "  - row 7: px is inf; remove or repair the row" in text
    assert "  - row 8: energy = " in text


def test_a_wrong_layout_has_problems_and_no_summary(tmp_path: Path) -> None:
    path = write_showers(tmp_path / "a.h5", toy_showers(10))
    with h5py.File(path, "r+") as file:
        del file["pdg"]
        file["responses"][2, 0, 0] = 9
        del file["calorimeter"]
        file.attrs["calorimeter"] = "ZP"
    report = check_data(path)
    assert report.summary == ""
    assert [str(problem) for problem in report.problems] == [
        "data set 'pdg' is missing; the layout needs particles, pdg, responses, particle_id",
        "responses are (44, 44), ZP is (56, 30); row = x, column = y",
    ]


def test_another_order_of_the_columns_is_a_problem(tmp_path: Path) -> None:
    path = write_showers(tmp_path / "a.h5", toy_showers(10))
    with h5py.File(path, "r+") as file:
        names = list(file["particles"].attrs["names"])
        file["particles"].attrs["names"] = [*names[1:], names[0]]
    assert str(check_data(path).problems[0]).startswith("particles has columns ['vx', 'vy',")


def test_what_is_not_hdf5_cannot_be_checked(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(b"\x00" * 100)
    with pytest.raises(FileFormatError, match=r"a\.h5: cannot be read as HDF5"):
        check_data(tmp_path / "a.h5")
