"""`zdc simulate` on files without a particle that reaches the face; they are common in productions."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
import uproot
from helpers.files.simulate_runs import NEUTRON, assert_same_content, content, run
from zdc_service.writers.parquet_results import COUNTS

_HEAD = "HepMC::Version 3.02.05\nHepMC::Asciiv3-START_EVENT_LISTING\n"
_EVENT = "E 1 1 3\nU GEV MM\nP 1 0 2212 0 0 1000 1000 0.938 4\nV -1 0 [1]\n"
_END = "HepMC::Asciiv3-END_EVENT_LISTING\n"
COUNTED = {"particles_read": 2, "left_out": {"charged": 1, "misses the face": 1}, "skipped": {}, "extrapolated": {}}


def nothing(folder: Path) -> Path:
    """An event with a photon that misses the face, and a pion."""
    path = folder / "events.hepmc3"
    path.write_text(f"{_HEAD}{_EVENT}P 2 -1 22 9 0 10 13.45 0 1\nP 3 -1 211 0 0 10 10 0.14 1\n{_END}")
    return path


def layout(path: Path) -> dict[str, Any]:
    """Names, types and shapes, except the number of rows."""
    if path.suffix == ".parquet":
        return {field.name: field.type for field in pq.read_schema(path)}
    if path.suffix == ".root":
        with uproot.open(path) as file:
            return {name: branch.typename for name, branch in file["showers"].items()}
    found = dict(np.load(path)) if path.suffix == ".npz" else content(path)
    return {name: (value.dtype, value.shape[1:]) for name, value in found.items() if np.ndim(value)}


@pytest.mark.parametrize("rates", [False, True])
@pytest.mark.parametrize("what", ["response", "channels", "hits"])
@pytest.mark.parametrize("ending", ["h5", "root", "parquet", "npz"])
def test_an_output_without_rows_has_the_usual_columns(
    tmp_path: Path, one_model: Path, capsys: pytest.CaptureFixture[str], ending: str, what: str, rates: bool
) -> None:
    table = tmp_path / "particles.csv"
    table.write_text("pdg,px,py,pz,event,barcode\n2112,0,0,1000,1,2\n")
    common: list[object] = ["--models", one_model, "--seed", 7, "--what", what, *(["--rates"] if rates else [])]
    empty, full = tmp_path / f"empty.{ending}", tmp_path / f"full.{ending}"
    assert run("--input", nothing(tmp_path), "--output", empty, *common) == 0
    said = capsys.readouterr().out
    assert "read 2 particles; left out 2: 1 charged, 1 misses the face" in said
    assert "simulated 0 particles x 1 = 0 rows" in said
    assert run("--input", table, "--output", full, *common) == 0
    assert layout(empty) == layout(full)


def test_the_counts_are_in_every_output(tmp_path: Path, one_model: Path) -> None:
    for ending in ("h5", "root", "parquet", "npz"):
        arguments = ("--input", nothing(tmp_path), "--output", tmp_path / f"out.{ending}", "--models", one_model)
        assert run(*arguments, "--what", "hits") == 0
    with h5py.File(tmp_path / "out.h5") as file:
        found = [{name: json.loads(str(file.attrs[name])) for name in COUNTED}]
    with np.load(tmp_path / "out.npz") as arrays:
        found.append({name: json.loads(str(arrays[name])) for name in COUNTED})
    with uproot.open(tmp_path / "out.root") as root:
        found.append({name: json.loads(root["about"])[name] for name in COUNTED})
        assert root["showers"].num_entries == 0
    found.append(json.loads(pq.read_metadata(tmp_path / "out.parquet").metadata[COUNTS]))
    assert found == [COUNTED] * 4


def test_slices_without_rows_are_merged(tmp_path: Path, one_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ("--input", nothing(tmp_path), "--models", one_model, "--seed", 7)
    assert run(*common, "--output", tmp_path / "whole.h5") == 0
    output = tmp_path / "out.h5"
    for part in ("1/2", "2/2"):
        assert run(*common, "--output", output, "--part", part) == 0
    capsys.readouterr()
    assert run("--output", output, command="merge") == 0
    assert "read 2 particles; left out 2: 1 charged, 1 misses the face" in capsys.readouterr().out
    assert_same_content(output, tmp_path / "whole.h5")


@pytest.mark.parametrize("name", ["particles.csv", "particles.parquet", "no_events.hepmc3"])
def test_files_without_a_particle_are_read(tmp_path: Path, one_model: Path, name: str) -> None:
    path = tmp_path / name
    if path.suffix == ".csv":
        path.write_text("pdg,px,py,pz\n")
    elif path.suffix == ".parquet":
        schema = {"pdg": np.int64, "px": np.float64, "py": np.float64, "pz": np.float64}
        import pyarrow as pa

        pq.write_table(pa.table({column: np.zeros(0, kind) for column, kind in schema.items()}), path)
    else:
        path.write_text(_HEAD + _END)
    assert run("--input", path, "--output", tmp_path / "out.h5", "--models", one_model) == 0
    assert content(tmp_path / "out.h5")["particles"].shape == (0, 9)


def test_a_file_is_written_if_all_particles_are_skipped(tmp_path: Path, one_model: Path) -> None:
    arguments = ("--particle", "pdg=3122,pz=1000", "--particle", "pdg=130,pz=1000", "--out-of-range", "skip")
    assert run(*arguments, "--models", one_model, "--output", tmp_path / "out.h5") == 0
    skipped = json.loads(content(tmp_path / "out.h5")["@skipped"])
    assert sum(skipped.values()) == 2


@pytest.mark.parametrize("command", ["show", "validate"])
def test_commands_that_need_rows_report_one_line(
    tmp_path: Path, one_model: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    output = tmp_path / "out.h5"
    assert run("--input", nothing(tmp_path), "--output", output, "--models", one_model) == 0
    assert run("--particle", NEUTRON, "--output", tmp_path / "full.h5", "--models", one_model) == 0
    reference = ("--reference", tmp_path / "full.h5") if command == "validate" else ()
    capsys.readouterr()
    assert run(output, *reference, command=command) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert f"{output}: there are no rows" in captured.err
