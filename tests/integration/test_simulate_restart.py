"""`zdc simulate` that is killed, interrupted or refused, and run again."""

import json
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import uproot
from simulate_runs import NEUTRON, assert_same_content, content, run, start, write_particles
from tiny_model import TinyModel, write_model

ROWS = 3000


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write_model(root)
    return root


@pytest.fixture(scope="module")
def particles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_particles(tmp_path_factory.mktemp("input") / "particles.csv", ROWS)


def wait_for_parts(process: "subprocess.Popen[str]", output: Path, count: int) -> None:
    while len(list(parts_of(output).glob("0*.part"))) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)


def parts_of(output: Path) -> Path:
    return output.with_name(output.name + ".parts")


@pytest.mark.parametrize("ending", ["h5", "root"])
def test_killed_again_and_again_the_file_is_that_of_one_run(
    tmp_path: Path, models: Path, particles: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    what = "hits" if ending == "h5" else "response"
    common = ("--input", particles, "--models", models, "--seed", 5, "--what", what, "--rows-per-part", 100)
    output = tmp_path / f"out.{ending}"
    moments = random.Random(7)
    kept = 0
    for count in (2, 10, 20):
        with start(*common, "--output", output) as process:
            wait_for_parts(process, output, count)
            time.sleep(moments.uniform(0, 0.05))
            process.kill()
        assert not output.exists()
        now = len(list(parts_of(output).glob("0*.part")))
        assert now >= max(kept, count)
        kept = now
    assert run(*common, "--output", output) == 0
    text = capsys.readouterr().out
    assert f"simulated {ROWS} particles x 1 = {ROWS} rows with tiny version 1, seed 5" in text
    assert "rows are from earlier runs" in text
    assert list(tmp_path.iterdir()) == [output]
    other = tmp_path / f"other.{ending}"
    assert run(*common[:-2], "--output", other) == 0
    if ending == "h5":
        assert_same_content(output, other)
        assert content(output)["row"].tolist() == list(range(ROWS))
    else:
        both = [uproot.open(path)["showers"].arrays(["row", "responses"], library="np") for path in (output, other)]
        assert both[0]["row"].tolist() == list(range(ROWS))
        np.testing.assert_array_equal(both[0]["responses"], both[1]["responses"])


def test_a_kill_while_the_result_is_written_loses_nothing(tmp_path: Path, models: Path, particles: Path) -> None:
    output = tmp_path / "out.h5"
    arguments = ("--input", particles, "--models", models, "--seed", 5, "--rows-per-part", 500, "--output", output)
    assert run(*arguments, "--part", "1/1") == 0
    for leftover in ("result.h5", "result.h5.part", "00000009.part.host.1.tmp"):
        (parts_of(output) / leftover).write_bytes(b"half of it")
    assert run(*arguments) == 0
    assert list(tmp_path.iterdir()) == [output]
    assert content(output)["row"].tolist() == list(range(ROWS))


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_an_interrupt_keeps_what_is_finished(tmp_path: Path, models: Path, seconds: float) -> None:
    output = tmp_path / "out.h5"
    size = ("--repeats", 20000, "--rows-per-part", 500, "--what", "channels")
    arguments = ("--particle", NEUTRON, "--models", models, *size)
    with start(*arguments, "--output", output) as process:
        wait_for_parts(process, output, 2)
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, text = process.communicate(timeout=60)
    assert process.returncode == 130
    kept = len(list(parts_of(output).glob("0*.part")))
    assert kept >= 2
    line = f"interrupted; {kept} finished parts are kept in {parts_of(output)}; the same command goes on from there"
    assert text == f"zdc simulate: {line}\n"
    assert list(tmp_path.iterdir()) == [parts_of(output)]
    seed = json.loads((parts_of(output) / "job.json").read_text())["seed"]
    assert run(*arguments, "--output", output) == 0
    found = content(output)
    assert found["@seed"] == seed  # drawn once for the job
    assert found["row"].tolist() == list(range(20000))
    assert run(*arguments, "--seed", seed, "--output", tmp_path / "other.h5") == 0
    assert_same_content(output, tmp_path / "other.h5")


def test_an_interrupt_before_anything_is_finished_leaves_nothing(tmp_path: Path, models: Path) -> None:
    output = tmp_path / "out.h5"
    arguments = ("--particle", NEUTRON, "--repeats", 10_000_000, "--rows-per-part", 10_000_000, "--models", models)
    with start(*arguments, "--output", output) as process:
        while not (parts_of(output) / "job.json").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, text = process.communicate(timeout=60)
    assert process.returncode == 130
    assert text == "zdc simulate: interrupted; no file was written\n"
    assert list(tmp_path.iterdir()) == []


def test_another_job_is_refused_and_overwrite_starts_anew(
    tmp_path: Path, models: Path, particles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.h5"
    common = ("--input", particles, "--models", models, "--output", output, "--what", "channels")
    assert run(*common, "--seed", 5, "--part", "1/2", "--rows-per-part", 500) == 0
    assert "slice 1/2: 3 parts are in" in capsys.readouterr().out
    for options, message in (
        (("--seed", 6), "its seed is 5, this one's is 6"),
        (("--repeats", 2), "its repeats is 1, this one's is 2"),
        (("--rates",), "its finish is poisson, this one's is none"),
        (("--rows-per-part", 100), "its rows_per_part is 500, this one's is 100"),
    ):
        assert run(*common, *options) == 2
        text = capsys.readouterr().err
        assert f"{parts_of(output)}: holds parts of another job: {message}" in text
        assert "--overwrite" in text
        assert "finished parts are kept" not in text
    changed = tmp_path / "changed.csv"
    changed.write_text(particles.read_text().replace("22,", "2112,", 1))
    assert run("--input", changed, *common[2:]) == 2
    assert "its input is sha256:" in capsys.readouterr().err
    assert run(*common, "--seed", 6, "--overwrite") == 0
    assert {*tmp_path.iterdir()} == {output, changed}
    assert content(output)["@seed"] == 6


def test_a_model_that_was_replaced_is_refused_and_a_newer_one_not_taken(
    tmp_path: Path, particles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.h5"
    write_model(tmp_path / "models")
    common = ("--input", particles, "--models", tmp_path / "models", "--output", output, "--what", "channels")
    assert run(*common, "--part", "1/2", "--rows-per-part", 500) == 0
    write_model(tmp_path / "models", TinyModel(version=2, seed=2))
    write_model(tmp_path / "others", TinyModel(seed=2))
    assert run(*common[:3], tmp_path / "others", *common[4:]) == 2
    assert "its graph_sha256 is" in capsys.readouterr().err
    assert run(*common) == 0
    assert content(output)["@version"] == 1


def test_a_wrong_particle_late_in_the_file_keeps_the_parts_before_it(
    tmp_path: Path, models: Path, particles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "particles.csv"
    table.write_text(particles.read_text() + "2112,0,0,5,0\n")
    output = tmp_path / "out.h5"
    arguments = ("--input", table, "--output", output, "--models", models, "--rows-per-part", 500)
    assert run(*arguments) == 2
    assert f"line {ROWS + 2}: energy: 5.0875" in capsys.readouterr().err
    assert len(list(parts_of(output).glob("0*.part"))) == 6
    assert run(*arguments, "--out-of-range", "skip", "--overwrite") == 0
    assert len(content(output)["row"]) == ROWS


def test_slices_are_merged(tmp_path: Path, models: Path, particles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, alone = tmp_path / "out.h5", tmp_path / "alone.h5"
    common = ("--input", particles, "--models", models, "--what", "hits")
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
    tmp_path: Path, models: Path, particles: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output, alone = tmp_path / f"in.{ending}", tmp_path / "out.h5", tmp_path / "alone.h5"
    table = pd.read_csv(particles)
    if ending == "parquet":
        table.to_parquet(source, row_group_size=700)
    elif ending == "root":
        with uproot.recreate(source) as file:
            file["particles"] = {name: table[name].to_numpy() for name in table}
    else:
        assert run("--input", particles, "--models", models, "--output", source, "--what", "channels") == 0
    common = ("--input", source, "--models", models, "--what", "hits", "--seed", 5)
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
    tmp_path: Path, models: Path, particles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.read_csv(particles)
    table.loc[2500, "pz"] = 0.0
    table.to_parquet(tmp_path / "in.parquet")
    arguments = ("--input", tmp_path / "in.parquet", "--models", models, "--output", tmp_path / "out.h5", "--seed", 5)
    assert run(*arguments, "--rows-per-part", 250, "--part", "1/2") == 0
    assert run(*arguments, "--rows-per-part", 250, "--part", "2/2") == 2
    assert "in.parquet: row 2500: pz = 0 GeV/c must not be 0" in capsys.readouterr().err
    assert run("--output", tmp_path / "out.h5", command="merge") == 1
    assert "6 of 12 parts are missing: 6, 7, 8, 9, 10, 11" in capsys.readouterr().err


def test_what_a_kill_left_of_a_folder_that_was_being_removed(
    tmp_path: Path, models: Path, particles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.h5"
    arguments = ("--input", particles, "--models", models, "--output", output, "--rows-per-part", 500)
    assert run(*arguments, "--part", "1/1") == 0
    (parts_of(output) / "job.json").unlink()
    assert run(*arguments, "--part", "1/2") == 2
    assert "out.h5.parts: is left of a job that has ended; delete the folder" in capsys.readouterr().err
    assert run(*arguments) == 0
    assert content(output)["row"].tolist() == list(range(ROWS))
    assert list(tmp_path.iterdir()) == [output]


def test_slices_that_start_together_agree_on_a_seed(tmp_path: Path, models: Path, particles: Path) -> None:
    output = tmp_path / "out.h5"
    arguments = ("--input", particles, "--models", models, "--what", "channels", "--output", output)
    slices = [start(*arguments, "--rows-per-part", 250, "--part", f"{k}/2") for k in (1, 2)]
    for process in slices:
        assert process.communicate(timeout=60)[1] == ""
    assert [process.returncode for process in slices] == [0, 0]
    assert run("--output", output, command="merge") == 0
    assert run(*arguments[:-1], tmp_path / "one.h5", "--seed", content(output)["@seed"]) == 0
    assert_same_content(output, tmp_path / "one.h5")


def test_the_command_without_part_makes_what_slices_left(
    tmp_path: Path, models: Path, particles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.h5"
    arguments = ("--input", particles, "--models", models, "--what", "channels", "--output", output)
    assert run(*arguments, "--part", "2/4", "--rows-per-part", 250) == 0
    assert run(*arguments) == 0
    assert "750 of the rows are from earlier runs" in capsys.readouterr().out
    assert content(output)["row"].tolist() == list(range(ROWS))


def test_logs_get_a_line_now_and_then(
    tmp_path: Path,
    models: Path,
    particles: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = ("--input", particles, "--models", models, "--what", "channels", "--output", tmp_path / "out.h5")
    assert run(*arguments, "--part", "1/2", "--rows-per-part", 500) == 0
    assert capsys.readouterr().err == ""  # too soon for a line
    monkeypatch.setattr("zdc_service.bulk.report.LINE_SECONDS", 0.0)
    assert run(*arguments) == 0
    lines = capsys.readouterr().err.splitlines()
    assert all(
        re.fullmatch(r"zdc simulate: \d+ rows, \d+ rows/s, \d+% done, \d.*:\d\d:\d\d left", each) for each in lines
    )
    assert re.match(rf"zdc simulate: {ROWS} rows, \d+ rows/s, 100% done, 0:00:00 left", lines[-1])


def test_quiet_is_quiet(
    tmp_path: Path,
    models: Path,
    particles: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zdc_service.bulk.report.LINE_SECONDS", 0.0)
    arguments = ("--input", particles, "--models", models, "--what", "channels", "--output", tmp_path / "out.h5")
    assert run(*arguments, "--part", "1/1", "--rows-per-part", 500, "--quiet") == 0
    assert run("--output", tmp_path / "out.h5", "--quiet", command="merge") == 0
    assert capsys.readouterr() == ("", "")
    assert run(*arguments, "--quiet", "--tree", "a") == 2
    assert "--tree is for ROOT files" in capsys.readouterr().err


def test_the_input_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.root"
    path.write_bytes(b"precious")
    assert run("--input", path, "--output", tmp_path / "." / "a.root") == 2
    assert "is the input, and would be replaced; name another --output" in capsys.readouterr().err
    assert path.read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--part", "5/4"), "--part 5/4: must be K/N with 1 <= K <= N"),
        (("--part", "1/2", "--overwrite"), "--overwrite would discard the parts of other slices"),
        (("--workers", 2, "--scheduler", "tcp://a:1"), "leave one out"),
        (("--workers", 2, "--server", "grpc://a:1"), "leave them out or --server"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[object, ...], message: str
) -> None:
    assert run("--particle", NEUTRON, "--output", tmp_path / "out.h5", *options) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
