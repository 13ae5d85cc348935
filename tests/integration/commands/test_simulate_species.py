"""`zdc simulate --out-of-range extrapolate` applies to energies and vertices, not to species."""

import json
from pathlib import Path

import pytest
from helpers.files.simulate_runs import assert_same_content, content, run

_HEAD = "HepMC::Version 3.02.05\nHepMC::Asciiv3-START_EVENT_LISTING\nE 1 1 6\nU GEV MM\n"
_BEAM = "P 1 0 2212 0 0 1000 1000 0.938 4\nV -1 0 [1]\n"
_REST = (
    "P 2 -1 12 0 0 1000 1000 0 1\nP 3 -1 2112 0 0 9000 9000 0.94 1\nP 4 -1 3122 0 0 1000 1000 1.1157 1\n"
    "P 5 -1 22 0 0 -500 500 0 1\nP 6 -1 211 0 0 500 500 0.14 1\n"
)


def events(folder: Path) -> Path:
    """A neutrino, a neutron above the trained energies, a Lambda, a photon and a pion, all straight at a face."""
    path = folder / "events.hepmc3"
    path.write_text(f"{_HEAD}{_BEAM}{_REST}HepMC::Asciiv3-END_EVENT_LISTING\n")
    return path


def test_unknown_species_of_whole_events_are_left_out_and_counted(
    tmp_path: Path, one_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ("--input", events(tmp_path), "--models", one_model, "--seed", 7, "--out-of-range", "extrapolate")
    assert run(*common, "--output", tmp_path / "out.h5") == 0
    assert "2 of a species that the model does not know" in capsys.readouterr().out
    found = content(tmp_path / "out.h5")
    assert found["pdg"].tolist() == [2112, 22]
    assert found["barcode"].tolist() == [3, 5]
    assert json.loads(found["@left_out"]) == {"charged": 1, "of a species that the model does not know": 2}
    assert sum(json.loads(found["@extrapolated"]).values()) == 1
    for part in ("1/2", "2/2"):
        assert run(*common, "--output", tmp_path / "slices.h5", "--part", part) == 0
    assert run("--output", tmp_path / "slices.h5", command="merge") == 0
    assert_same_content(tmp_path / "slices.h5", tmp_path / "out.h5")


def test_an_unknown_species_in_a_table_is_an_error_with_its_row(
    tmp_path: Path, one_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "particles.csv"
    table.write_text("pdg,px,py,pz\n2112,0,0,9000\n12,0,0,1000\n")
    common = ("--input", table, "--models", one_model, "--output", tmp_path / "out.h5")
    assert run(*common, "--out-of-range", "extrapolate") == 2
    assert "line 3" in capsys.readouterr().err


@pytest.mark.alone
def test_workers_leave_out_the_same(tmp_path: Path, one_model: Path) -> None:
    common = ("--input", events(tmp_path), "--models", one_model, "--seed", 7, "--out-of-range", "extrapolate")
    assert run(*common, "--output", tmp_path / "alone.h5") == 0
    assert run(*common, "--output", tmp_path / "workers.h5", "--workers", 1) == 0
    assert_same_content(tmp_path / "alone.h5", tmp_path / "workers.h5")
