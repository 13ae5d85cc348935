"""`train-zdc`: output and exit code of each subcommand, Ctrl-C, a closed pipe."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from helpers.files.shower_samples import DATA, toy_showers, write_showers
from helpers.foreground import foreground
from helpers.models.training_runs import tiny_config
from zdc_common.commands import FAILED, INTERRUPTED, PIPE_CLOSED, WRONG_INPUT
from zdc_detector.card import GRAPH_FILE
from zdc_training import cli
from zdc_training.cli import TrainZdc, main
from zdc_training.commands.data import Convert
from zdc_training.commands.models import Evaluate, Export
from zdc_training.commands.training import Fit
from zdc_training.runs.run import Run

DESCRIPTION = 'commas, and "quotes"'
#: ``train-zdc``, which obeys Ctrl-C also if the process that runs the tests ignores it.
COMMAND = foreground("zdc_training.cli")


def run_main(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = 0
    try:
        main(list(arguments))
    except SystemExit as ended:
        code = int(ended.code or 0)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def write_toml(folder: Path) -> Path:
    """Write `tiny_config` with very many epochs."""
    tree = tiny_config(folder).model_dump(mode="json", exclude_defaults=True)
    lines = [f"{key} = {json.dumps(value)}" for key, value in tree.items() if not isinstance(value, dict)]
    for section, table in tree.items():
        if isinstance(table, dict):
            lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    path = folder / "tiny.toml"
    path.write_text("\n".join(lines).replace("epochs = 4", "epochs = 1000000"))
    return path


def test_a_subcommand_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run_main(capsys)
    assert code == WRONG_INPUT
    assert "CLI subcommand is required" in err


@pytest.mark.parametrize(
    ("command", "model"), [("fit", Fit), ("evaluate", Evaluate), ("export", Export), ("convert", Convert)]
)
def test_help_names_every_option(
    capsys: pytest.CaptureFixture[str], command: str, model: type[Fit | Evaluate | Export | Convert]
) -> None:
    code, out, _ = run_main(capsys, command, "--help")
    assert code == 0
    for name, field in model.model_fields.items():
        assert (name.upper() if field.is_required() else f"--{name.replace('_', '-')}") in out


@pytest.mark.parametrize("command", TrainZdc.model_fields)
def test_help_speaks_no_python(capsys: pytest.CaptureFixture[str], command: str) -> None:
    _, out, _ = run_main(capsys, command.replace("_", "-"), "--help")
    for word in ("None", "False", "Path", "list[", " str", " int", "[]"):
        assert word not in out


def test_help_loads_no_framework() -> None:
    program = "import sys, zdc_training.cli; print({'torch', 'sklearn', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["fit", "nowhere"], "nowhere: no such file, nor one of few-showers, paper, smoke"),
        (["fit", "smoke", "--set", "optimiser.epoch=3"], "did you mean optimiser.epochs?"),
        (["fit", "smoke", "--set", "model.channels=[2,2]"], "model.channels.2: Field required"),
        (["fit", "smoke", "--threads", "0"], "--threads = '0': Input should be greater than or equal to 1"),
        (["fit", "smoke", "--device", "tpu", "--run", "/nowhere"], "device 'tpu': "),
        (["fit", "smoke", "--epochs", "3"], "error parsing CLI: unrecognized arguments: --epochs 3"),
        (["evaluate", "/nowhere"], "/nowhere holds no run: no config.json; train one with `train-zdc fit`"),
        (["evaluate", "/nowhere", "--resamples", "0"], "--resamples = '0': Input should be greater than"),
        (["export", "/nowhere"], "/nowhere holds no run"),
        (["convert", "/none.npz", "/none.npz", "out.h5"], "/none.npz: no such file"),
        (["check-data", "/none.h5"], "/none.h5: cannot be read as HDF5"),
        (["check-symmetries", "none.h5"], "none.h5: no such file, nor"),
        (["check-symmetries", "none.h5", "--seed", "-1"], "--seed = '-1': Input should be greater than"),
    ],
)
def test_mistakes_are_one_line_and_code_2(capsys: pytest.CaptureFixture[str], arguments: list[str], text: str) -> None:
    code, out, err = run_main(capsys, *arguments)
    assert (code, out) == (WRONG_INPUT, "")
    assert err.startswith("train-zdc: ")
    assert text in err
    assert len(err.strip().splitlines()) == 1


def test_what_the_machine_refuses_is_code_1(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, _, err = run_main(capsys, "fit", str(write_toml(tmp_path)), "--run", str(tmp_path / "file" / "run"))
    assert code == FAILED
    assert err.startswith("train-zdc: [Errno")


@dataclass(frozen=True)
class Interrupted:
    """A run that was stopped by Ctrl-C after some epochs."""

    code: int
    err: str
    run: Run


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Interrupted:
    folder = tmp_path_factory.mktemp("interrupted")
    run = Run(folder / "a run")
    options = ["--run", str(run.folder), "--threads", "1", "--set", "loss.blur=0.2"]
    options += ["--set", f"output.description={json.dumps(DESCRIPTION)}", "--set=model.channels=[4, 4, 4, 5]"]
    command = [*COMMAND, "fit", str(write_toml(folder)), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as started:
        try:
            while not run.best.exists() and started.poll() is None:
                time.sleep(0.05)
            started.send_signal(signal.SIGINT)
            err = started.communicate(timeout=60)[1]
        finally:
            started.kill()
    return Interrupted(started.returncode, err, run)


def test_ctrl_c_says_how_to_go_on_and_loses_no_finished_epoch(
    interrupted: Interrupted, capsys: pytest.CaptureFixture[str]
) -> None:
    run = interrupted.run
    *progress, last = interrupted.err.strip().splitlines()
    assert interrupted.code == INTERRUPTED
    assert progress[0].startswith("epoch 1/1000000  ")
    assert "Traceback" not in interrupted.err
    assert not list(run.folder.glob("*.part"))
    done = len(run.log.read_text().splitlines())
    assert done >= 2

    command = shlex.split(last.removeprefix("train-zdc: interrupted; continue with: "))
    assert command[:2] == ["train-zdc", "fit"]
    code, out, err = run_main(capsys, *command[1:], "--set", f"optimiser.epochs={done + 2}")
    assert code == 0
    assert out == f"trained {run.folder}; next: train-zdc evaluate {run.folder}\n"
    first, *_ = err.splitlines()
    assert "continues with its own configuration, which differs from" in first
    assert "model.channels = [4, 4, 4, 5] (not [4, 4, 4, 4]), loss.blur = 0.2 (not 0.1)" in first
    assert "output.description = " in first
    assert run.config().output.description == DESCRIPTION
    epochs = [json.loads(line)["epoch"] for line in run.log.read_text().splitlines()]
    assert epochs == list(range(1, done + 3))
    assert (run.folder / "curves.png").is_file()


@pytest.mark.slow
def test_a_run_is_evaluated_and_exported(
    interrupted: Interrupted, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = str(interrupted.run.folder)
    code, _, err = run_main(capsys, "export", run, "-o", str(tmp_path))
    assert code == WRONG_INPUT
    assert f"run `train-zdc evaluate {run}` first" in err
    code, out, _ = run_main(capsys, "evaluate", run, "--resamples", "5", "--repeats", "2")
    assert code == 0
    assert "| Wasserstein [photons] | " in out
    folder = tmp_path / "toy" / "1"
    code, out, _ = run_main(capsys, "export", run, "--output", str(tmp_path))
    assert (code, out) == (0, f"exported {folder}\n")
    assert (folder / GRAPH_FILE).is_file()
    code, _, err = run_main(capsys, "export", run, "-o", str(tmp_path), "--model-version", "1")
    assert code == WRONG_INPUT
    assert f"{folder} exists; add --overwrite" in err


@pytest.mark.alone
def test_under_torchrun_a_refusal_is_said_once(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port)]
    wrong = ["fit", "smoke", "--run", str(tmp_path / "run"), "--set", "optimiser.epoch=3"]
    done = subprocess.run(
        [*torchrun, "-m", "--", "zdc_training.cli", *wrong], stderr=subprocess.PIPE, text=True, check=False, timeout=120
    )
    assert done.returncode != 0
    assert done.stderr.count("did you mean optimiser.epochs?") == 1
    assert not (tmp_path / "run").exists()


def test_what_only_another_process_has_to_say_is_said_after_a_while(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(cli, "_WAIT_FOR_FIRST", 0.0)
    code, out, err = run_main(capsys, "fit", "nowhere")
    assert (code, out) == (WRONG_INPUT, "")
    assert err.startswith("train-zdc: nowhere: no such file")


def test_the_command_for_torchrun_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run_main(capsys, "fit", "--help")
    assert "torchrun --nproc-per-node N -m -- zdc_training.cli fit CONFIG" in out


def test_a_file_is_checked(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    showers = toy_showers(10)
    code, out, _ = run_main(capsys, "check-data", str(write_showers(tmp_path / "a.h5", showers)))
    assert code == 0
    assert out.endswith("no problems found\n")
    showers.particles.conditions[3, 4] = np.nan
    code, out, _ = run_main(capsys, "check-data", str(write_showers(tmp_path / "b.h5", showers)))
    assert code == 1
    assert "  - row 3: px is nan" in out


def test_files_are_converted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    showers = toy_showers(10, 2)
    np.savez(tmp_path / "p.npz", np.column_stack([showers.particles.conditions, showers.particles.pdg]))
    np.savez(tmp_path / "r.npz", showers.responses)
    files = [str(tmp_path / name) for name in ("p.npz", "r.npz", "out.h5")]
    code, out, _ = run_main(capsys, "convert", *files, "--minimum-photons", "0")
    assert code == 0
    assert out.startswith("wrote 20 of 20 showers of 10 particles to ")


def test_symmetries_are_tested(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = write_showers(tmp_path / "a.h5", toy_showers(60))
    code, out, _ = run_main(capsys, "check-symmetries", str(path), "--seed", "3")
    assert code == 0
    assert out.startswith("| symmetry | p-value | ")


def test_a_reader_that_has_enough_ends_it_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [*COMMAND, "check-data", str(DATA / "zn_geant4_repeats.h5")]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    os.close(writer)
    assert (done.returncode, done.stderr) == (PIPE_CLOSED, "")
