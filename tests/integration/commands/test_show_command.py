"""The command `zdc show`."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers.files.shower_samples import DATA, toy_showers, write_showers
from helpers.files.simulate_runs import run
from matplotlib.image import imread
from zdc_detector.shower_rows import read_rows


def show(*arguments: object) -> int:
    return run(*arguments, command="show")


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return write_showers(tmp_path / "toy.h5", toy_showers(10, 3))


def check_picture(path: Path, panels: tuple[int, int]) -> None:
    """Check that a picture has this number of panels, with black faces and some light."""
    picture = imread(path)[..., :3]
    assert picture.shape[0] == pytest.approx(130 * (3.25 * panels[0] + 0.7), abs=3)
    assert picture.shape[1] == pytest.approx(130 * (2.9 * panels[1] + 0.9), abs=3)
    assert 0.2 < (picture.sum(axis=2) == 0).mean() < 0.9
    assert picture.std() > 0.2


@pytest.mark.parametrize(
    ("arguments", "said", "panels"),
    [
        ([], "12 rows from 0 to 11", (3, 4)),
        (["--rows", "7"], "row 7", (1, 1)),
        (["--rows", "28:"], "2 rows from 28 to 29", (1, 2)),
        (["--rows", ":5"], "5 rows from 0 to 4", (2, 4)),
    ],
)
def test_the_picture_is_written_beside_the_file(
    toy: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str, panels: tuple[int, int]
) -> None:
    assert show(toy, *arguments) == 0
    picture = toy.with_suffix(".png")
    assert capsys.readouterr().out == f"wrote {picture}: {said}\n"
    check_picture(picture, panels)


def test_repeats_of_one_particle_are_shown(tmp_path: Path, toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "some.png"
    assert show(toy, "--particle", 1004, "--output", picture) == 0
    assert f"wrote {picture}: 3 rows from" in capsys.readouterr().out
    check_picture(picture, (1, 3))


def test_the_shipped_file_is_shown(tmp_path: Path) -> None:
    picture = tmp_path / "test.png"
    assert show(DATA / "zn_geant4_test.h5", "--rows", "3:5", "--output", picture) == 0
    check_picture(picture, (1, 2))


def test_hits_are_drawn_like_responses(tmp_path: Path, models_folder: Path) -> None:
    common = ("--particle", "pdg=2112,pz=1500,px=0.1", "--models", models_folder, "--model", "tiny", "--seed", 1)
    for what in ("response", "hits"):
        assert run(*common, "--repeats", 5, "--what", what, "--output", tmp_path / f"{what}.h5") == 0
        assert show(tmp_path / f"{what}.h5", "--rows", "1:4", "--output", tmp_path / f"{what}.png") == 0
    whole, hits = (read_rows(tmp_path / f"{what}.h5", lambda _: np.array([1, 4])) for what in ("response", "hits"))
    np.testing.assert_array_equal(whole.responses, hits.responses)
    assert whole.responses.dtype == hits.responses.dtype
    assert whole.responses.any()


def test_a_pdf_is_written_without_a_date(toy: Path, tmp_path: Path) -> None:
    for name in ("one.pdf", "two.PDF"):
        assert show(toy, "--rows", "0:2", "--output", tmp_path / name) == 0
    content = (tmp_path / "one.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")
    assert content == (tmp_path / "two.PDF").read_bytes()  # no date in it


def test_rates_are_shown(tmp_path: Path, models_folder: Path) -> None:
    common = ("--particle", "pdg=2112,pz=1500,px=0.1", "--models", models_folder, "--model", "tiny")
    assert run(*common, "--rates", "--output", tmp_path / "rates.h5") == 0
    assert show(tmp_path / "rates.h5") == 0


def test_a_file_of_empty_responses_is_shown(tmp_path: Path) -> None:
    showers = toy_showers(2)
    showers.responses[:] = 0
    assert show(write_showers(tmp_path / "dark.h5", showers)) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "30:40"], "toy.h5: there is no row 30; the file has 30 rows, counted from 0"),
        (["--rows", "5:5"], "--rows '5:5' selects no row; END is the row after the last one"),
        (["--rows", "some"], "--rows 'some' must be FIRST:END, e.g. 0:12"),
        (["--rows", "1", "--particle", "1000"], "--rows and --particle exclude each other"),
        (["--particle", "7"], "toy.h5: no row has particle_id 7; it must be from 1000 to 1009"),
        (["--output", "x.svg"], "x.svg: the name must end in .png or .pdf"),
        (["--output", "absent/x.png"], "the folder absent does not exist"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(
    toy: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert show(toy, *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert list(toy.parent.iterdir()) == [toy]


def test_too_many_rows_for_a_picture_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_showers(tmp_path / "toy.h5", toy_showers(60, 2))
    assert show(path, "--rows", "10:") == 2
    assert "110 rows are too many, a picture has at most 100; choose --rows 10:110" in capsys.readouterr().err


def test_errors_name_files_without_responses(
    tmp_path: Path, toy: Path, models_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ("--particle", "pdg=2112,pz=1500,px=0.1", "--models", models_folder, "--model", "tiny")
    assert run(*common, "--what", "channels", "--output", tmp_path / "sums.h5") == 0
    assert show(tmp_path / "sums.h5") == 2
    assert "sums.h5: holds channel sums only; simulate with --what response or --what hits" in capsys.readouterr().err
    assert show(tmp_path / "absent.h5") == 2
    assert "absent.h5: no such file" in capsys.readouterr().err
    (tmp_path / "text.h5").write_text("no")
    assert show(tmp_path / "text.h5") == 2
    assert "text.h5: cannot be read as HDF5" in capsys.readouterr().err
    with h5py.File(toy, "a") as file:
        del file["calorimeter"]
        file.attrs["calorimeter"] = "ZQ"
    assert show(toy) == 2
    assert (
        "toy.h5: calorimeter 'ZQ' is not known and the file does not contain it; known are ZN, ZP"
        in capsys.readouterr().err
    )


def test_the_geometry_of_a_simulation_is_drawn(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    set_up = {
        "geometry": {"length": 100, "groove": 0.06, "fibre_radius": 0.01825},
        "absorber": {"density": 17.6, "mass_fractions": {"W": 1.0}},
    }
    with h5py.File(toy, "r+") as file:
        file.attrs["simulation"] = json.dumps({"set_up": set_up})
    picture = tmp_path / "geometry.png"
    assert show(toy, "--geometry", "--output", picture) == 0
    drawn = imread(picture)[..., :3]
    absorber = np.all(np.abs(drawn - 0.6) < 0.01, axis=2)
    assert absorber.mean() > 0.1  # the cell and the side view
    assert show(DATA / "zn_geant4_test.h5", "--geometry", "--output", picture) == 2
    assert "does not say with which geometry it was simulated" in capsys.readouterr().err
