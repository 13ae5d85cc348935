"""Slices of one job by `zdc simulate --part`, and their merge."""

from pathlib import Path

import pandas as pd
import pytest
import uproot
from helpers.files.simulate_runs import ROWS, assert_same_content, content, run, start


def test_slices_are_merged(
    tmp_path: Path, one_model: Path, particle_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, alone = tmp_path / "out.h5", tmp_path / "alone.h5"
    common = ("--input", particle_file, "--models", one_model, "--what", "hits")
    assert run("--output", output, command="merge") == 2
    assert "out.h5.parts: no such folder" in capsys.readouterr().err
    arguments = (*common, "--output", output, "--rows-per-part", 250)
    assert run(*arguments, "--part", "3/3") == 0
    assert run("--output", output, command="merge") == 1
    assert "8 of 12 parts are missing: 0, 1, 3, 4, 6, 7, 9, 10; run their slices again" in capsys.readouterr().err
    for slice_ in ("1/3", "2/3"):
        assert run(*arguments, "--part", slice_) == 0
    assert run("--output", output, command="merge") == 0
    text = capsys.readouterr().out
    assert f"read {ROWS} particles" in text
    assert f"wrote {output} (hits)" in text
    assert run(*common, "--seed", content(output)["@seed"], "--output", alone) == 0
    assert_same_content(output, alone)
    assert {*tmp_path.iterdir()} == {output, alone}


@pytest.mark.parametrize("ending", ["parquet", "root", "h5"])
def test_slices_and_later_runs_read_only_their_own_particles(
    tmp_path: Path, one_model: Path, particle_file: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output, alone = tmp_path / f"in.{ending}", tmp_path / "out.h5", tmp_path / "alone.h5"
    table = pd.read_csv(particle_file)
    if ending == "parquet":
        table.to_parquet(source, row_group_size=700)
    elif ending == "root":
        with uproot.recreate(source) as file:
            file["particles"] = {name: table[name].to_numpy() for name in table}
    else:
        assert run("--input", particle_file, "--models", one_model, "--output", source, "--what", "channels") == 0
    common = ("--input", source, "--models", one_model, "--what", "hits", "--seed", 5)
    assert run(*common, "--output", alone) == 0
    arguments = (*common, "--output", output, "--rows-per-part", 250)
    capsys.readouterr()
    assert run(*arguments, "--part", "2/3") == 0
    text = capsys.readouterr().out
    assert f"read 1000 of {ROWS} particles" in text
    assert "slice 2/3: 4 parts are in" in text
    assert run("--output", output, command="merge") == 1
    assert "8 of 12 parts are missing: 0, 1, 2, 3, 8, 9, 10, 11; run their slices" in capsys.readouterr().err
    assert run(*arguments, "--part", "1/3") == 0
    assert run(*arguments, "--part", "1/3") == 0
    assert f"read 0 of {ROWS} particles" in capsys.readouterr().out
    assert run(*arguments) == 0
    text = capsys.readouterr().out
    assert f"read 1000 of {ROWS} particles" in text
    assert f"simulated {ROWS} particles x 1 = {ROWS} rows" in text
    assert "2000 of the rows are from earlier runs" in text
    assert_same_content(output, alone)


def test_a_wrong_particle_in_one_slice_does_not_stop_the_others(
    tmp_path: Path, one_model: Path, particle_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.read_csv(particle_file)
    table.loc[2500, "pz"] = 0.0
    table.to_parquet(tmp_path / "in.parquet")
    arguments = (
        "--input",
        tmp_path / "in.parquet",
        "--models",
        one_model,
        "--output",
        tmp_path / "out.h5",
        "--seed",
        5,
    )
    assert run(*arguments, "--rows-per-part", 250, "--part", "1/2") == 0
    assert run(*arguments, "--rows-per-part", 250, "--part", "2/2") == 2
    assert "in.parquet: row 2500: pz = 0 GeV/c must not be 0" in capsys.readouterr().err
    assert run("--output", tmp_path / "out.h5", command="merge") == 1
    assert "6 of 12 parts are missing: 6, 7, 8, 9, 10, 11" in capsys.readouterr().err


def test_slices_that_start_together_agree_on_a_seed(tmp_path: Path, one_model: Path, particle_file: Path) -> None:
    output = tmp_path / "out.h5"
    arguments = ("--input", particle_file, "--models", one_model, "--what", "channels", "--output", output)
    slices = [start(*arguments, "--rows-per-part", 250, "--part", f"{k}/2") for k in (1, 2)]
    for process in slices:
        assert process.communicate(timeout=60)[1] == ""
    assert [process.returncode for process in slices] == [0, 0]
    assert run("--output", output, command="merge") == 0
    assert run(*arguments[:-1], tmp_path / "one.h5", "--seed", content(output)["@seed"]) == 0
    assert_same_content(output, tmp_path / "one.h5")


def test_the_command_without_part_simulates_missing_parts(
    tmp_path: Path, one_model: Path, particle_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.h5"
    arguments = ("--input", particle_file, "--models", one_model, "--what", "channels", "--output", output)
    assert run(*arguments, "--part", "2/4", "--rows-per-part", 250) == 0
    assert run(*arguments) == 0
    assert "750 of the rows are from earlier runs" in capsys.readouterr().out
    assert content(output)["row"].tolist() == list(range(ROWS))
