"""`zdc simulate` that is killed, interrupted or refused, and run again."""

import json
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import uproot
from helpers.files.simulate_runs import NEUTRON, ROWS, assert_same_content, content, parts_of, run, start
from helpers.models.tiny_model import TinyModel, write_model
from helpers.servers.running_server import RunningServer
from zdc_detector.card import ModelCard


def wait_for_parts(process: "subprocess.Popen[str]", output: Path, count: int) -> None:
    while len(list(parts_of(output).glob("0*.part"))) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["h5", "root"])
def test_a_job_killed_several_times_writes_the_same_file(
    tmp_path: Path, one_model: Path, particle_file: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    what = "hits" if ending == "h5" else "response"
    common = ("--input", particle_file, "--models", one_model, "--seed", 5, "--what", what, "--rows-per-part", 100)
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


def test_a_kill_while_the_result_is_written_loses_nothing(tmp_path: Path, one_model: Path, particle_file: Path) -> None:
    output = tmp_path / "out.h5"
    arguments = (
        "--input",
        particle_file,
        "--models",
        one_model,
        "--seed",
        5,
        "--rows-per-part",
        500,
        "--output",
        output,
    )
    assert run(*arguments, "--part", "1/1") == 0
    for leftover in ("result.h5", "result.h5.part", "00000009.part.host.1.tmp"):
        (parts_of(output) / leftover).write_bytes(b"half of it")
    assert run(*arguments) == 0
    assert list(tmp_path.iterdir()) == [output]
    assert content(output)["row"].tolist() == list(range(ROWS))


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_an_interrupt_keeps_finished_parts(tmp_path: Path, one_model: Path, seconds: float) -> None:
    output = tmp_path / "out.h5"
    size = ("--repeats", 20000, "--rows-per-part", 500, "--what", "channels")
    arguments = ("--particle", NEUTRON, "--models", one_model, *size)
    with start(*arguments, "--output", output) as process:
        wait_for_parts(process, output, 2)
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, text = process.communicate(timeout=60)
    assert process.returncode == 130
    kept = len(list(parts_of(output).glob("0*.part")))
    assert kept >= 2
    line = f"interrupted; {kept} finished parts are kept in {parts_of(output)}; the same command continues from them"
    assert text == f"zdc simulate: {line}\n"
    assert list(tmp_path.iterdir()) == [parts_of(output)]
    seed = json.loads((parts_of(output) / "job.json").read_text())["seed"]
    assert run(*arguments, "--output", output) == 0
    found = content(output)
    assert found["@seed"] == seed  # drawn once for the job
    assert found["row"].tolist() == list(range(20000))
    assert run(*arguments, "--seed", seed, "--output", tmp_path / "other.h5") == 0
    assert_same_content(output, tmp_path / "other.h5")


def test_an_interrupt_before_the_first_part_leaves_nothing(tmp_path: Path, one_model: Path) -> None:
    output = tmp_path / "out.h5"
    arguments = ("--particle", NEUTRON, "--repeats", 10_000_000, "--rows-per-part", 10_000_000, "--models", one_model)
    with start(*arguments, "--output", output) as process:
        while not (parts_of(output) / "job.json").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, text = process.communicate(timeout=60)
    assert process.returncode == 130
    assert text == "zdc simulate: interrupted; no file was written\n"
    assert list(tmp_path.iterdir()) == []


def test_another_job_is_refused_unless_overwrite_is_given(
    tmp_path: Path, one_model: Path, particle_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.h5"
    common = ("--input", particle_file, "--models", one_model, "--output", output, "--what", "channels")
    assert run(*common, "--seed", 5, "--part", "1/2", "--rows-per-part", 500) == 0
    assert "slice 1/2: 3 parts are in" in capsys.readouterr().out
    for options, message in (
        (("--seed", 6), "seed was 5 and is now 6"),
        (("--repeats", 2), "repeats was 1 and is now 2"),
        (("--rates",), "finish was poisson and is now none"),
        (("--rows-per-part", 100), "rows_per_part was 500 and is now 100"),
    ):
        assert run(*common, *options) == 2
        text = capsys.readouterr().err
        assert f"{parts_of(output)}: the folder has parts of another job: {message}" in text
        assert "--overwrite" in text
        assert "finished parts are kept" not in text
    changed = tmp_path / "changed.csv"
    changed.write_text(particle_file.read_text().replace("22,", "2112,", 1))
    assert run("--input", changed, *common[2:]) == 2
    assert "input was sha256:" in capsys.readouterr().err
    assert run(*common, "--seed", 6, "--overwrite") == 0
    assert {*tmp_path.iterdir()} == {output, changed}
    assert content(output)["@seed"] == 6


def test_a_job_keeps_its_model_and_refuses_a_replaced_one(
    tmp_path: Path, particle_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.h5"
    write_model(tmp_path / "models")
    common = ("--input", particle_file, "--models", tmp_path / "models", "--output", output, "--what", "channels")
    assert run(*common, "--part", "1/2", "--rows-per-part", 500) == 0
    write_model(tmp_path / "models", TinyModel(version=2, seed=2))
    write_model(tmp_path / "others", TinyModel(seed=2))
    assert run(*common[:3], tmp_path / "others", *common[4:]) == 2
    assert "graph_sha256 was" in capsys.readouterr().err
    assert run(*common) == 0
    assert content(output)["@version"] == 1


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_a_job_continues_on_another_server_or_in_this_process_if_the_model_is_the_same(
    tmp_path: Path, particle_file: Path, server: RunningServer, models_folder: Path, scheme: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    write_model(tmp_path / "models", TinyModel(seed=9))
    job = ("--input", particle_file, "--model", "tiny", "--version", 1, "--what", "channels", "--rows-per-part", 500)
    address = server.http if scheme == "http" else f"grpc://{server.grpc}"
    for output, folder, code in (("other.h5", tmp_path / "models", 2), ("same.h5", models_folder, 0)):
        assert run(*job, "--models", folder, "--output", tmp_path / output, "--part", "1/2") == 0
        assert run(*job, "--server", address, "--output", tmp_path / output) == code
    assert "the folder has parts of another job: graph_sha256 was" in capsys.readouterr().err
    sha256 = ModelCard.read(models_folder / "tiny" / "1").graph_sha256
    assert content(tmp_path / "same.h5")["@graph_sha256"] == sha256


def test_a_wrong_particle_late_in_the_file_keeps_the_parts_before_it(
    tmp_path: Path, one_model: Path, particle_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "particles.csv"
    table.write_text(particle_file.read_text() + "2112,0,0,5,0\n")
    output = tmp_path / "out.h5"
    arguments = ("--input", table, "--output", output, "--models", one_model, "--rows-per-part", 500)
    assert run(*arguments) == 2
    assert f"line {ROWS + 2}: energy: 5.0875" in capsys.readouterr().err
    assert len(list(parts_of(output).glob("0*.part"))) == 6
    assert run(*arguments, "--out-of-range", "skip", "--overwrite") == 0
    assert len(content(output)["row"]) == ROWS


def test_the_remainder_of_a_folder_after_a_kill_is_recognised(
    tmp_path: Path, one_model: Path, particle_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.h5"
    arguments = ("--input", particle_file, "--models", one_model, "--output", output, "--rows-per-part", 500)
    assert run(*arguments, "--part", "1/1") == 0
    (parts_of(output) / "job.json").unlink()
    assert run(*arguments, "--part", "1/2") == 2
    assert "out.h5.parts: remainder of an earlier job; delete the folder" in capsys.readouterr().err
    assert run(*arguments) == 0
    assert content(output)["row"].tolist() == list(range(ROWS))
    assert list(tmp_path.iterdir()) == [output]


def test_logs_get_a_line_per_minute(
    tmp_path: Path,
    one_model: Path,
    particle_file: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = ("--input", particle_file, "--models", one_model, "--what", "channels", "--output", tmp_path / "out.h5")
    assert run(*arguments, "--part", "1/2", "--rows-per-part", 500) == 0
    assert capsys.readouterr().err == ""  # less than a minute
    monkeypatch.setattr("zdc_service.bulk.report.LINE_SECONDS", 0.0)
    assert run(*arguments) == 0
    lines = capsys.readouterr().err.splitlines()
    assert all(
        re.fullmatch(r"zdc simulate: \d+ rows, \d+ rows/s, \d+% done, \d.*:\d\d:\d\d left", each) for each in lines
    )
    assert re.match(rf"zdc simulate: {ROWS} rows, \d+ rows/s, 100% done, 0:00:00 left", lines[-1])


def test_quiet_prints_nothing(
    tmp_path: Path,
    one_model: Path,
    particle_file: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zdc_service.bulk.report.LINE_SECONDS", 0.0)
    arguments = ("--input", particle_file, "--models", one_model, "--what", "channels", "--output", tmp_path / "out.h5")
    assert run(*arguments, "--part", "1/1", "--rows-per-part", 500, "--quiet") == 0
    assert run("--output", tmp_path / "out.h5", "--quiet", command="merge") == 0
    assert capsys.readouterr() == ("", "")
    assert run(*arguments, "--quiet", "--tree", "a") == 2
    assert "--tree is for ROOT files only" in capsys.readouterr().err


def test_the_input_is_refused_as_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.root"
    path.write_bytes(b"precious")
    assert run("--input", path, "--output", tmp_path / "." / "a.root") == 2
    assert "--output is the input file; choose another name" in capsys.readouterr().err
    assert path.read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--part", "5/4"), "--part 5/4 must be K/N with 1 <= K <= N"),
        (("--part", "1/2", "--overwrite"), "--overwrite with --part would discard the parts of other slices"),
        (("--workers", 2, "--scheduler", "tcp://a:1"), "leave one out"),
        (("--workers", 2, "--server", "grpc://a:1"), "cannot be combined with --server"),
    ],
)
def test_options_that_exclude_each_other_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[object, ...], message: str
) -> None:
    assert run("--particle", NEUTRON, "--output", tmp_path / "out.h5", *options) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
