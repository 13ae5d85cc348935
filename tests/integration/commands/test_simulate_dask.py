"""`zdc simulate` over Dask: the rows are the same, also if workers or schedulers die."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from helpers.files.simulate_runs import assert_same_content, run, start, write_particles
from helpers.models.tiny_model import write_model

pytestmark = pytest.mark.alone

ROWS, PARTS = 6000, 60
TIMEOUT = 240  # a busy machine takes long to start processes


@pytest.fixture(scope="module")
def common(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    folder = tmp_path_factory.mktemp("input")
    write_model(folder / "models")
    table = write_particles(folder / "particles.csv", ROWS)
    return ("--input", table, "--models", folder / "models", "--seed", 5, "--what", "hits")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, common: tuple[object, ...]) -> Path:
    """The same job in one process and one part."""
    output = tmp_path_factory.mktemp("alone") / "out.h5"
    assert run(*common, "--output", output, "--rows-per-part", ROWS) == 0
    return output


def finished(output: Path) -> int:
    return len(list(output.with_name(output.name + ".parts").glob("0*.part")))


def wait_for_parts(process: "subprocess.Popen[str]", output: Path, count: int) -> None:
    while finished(output) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def worker_processes(pid: int) -> list[psutil.Process]:
    """The processes that Dask started for `zdc simulate --workers`."""
    children = psutil.Process(pid).children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def test_a_killed_worker_changes_nothing(tmp_path: Path, common: tuple[object, ...], undisturbed: Path) -> None:
    output = tmp_path / "out.h5"
    with start(*common, "--output", output, "--rows-per-part", ROWS // PARTS, "--workers", 2) as process:
        wait_for_parts(process, output, 5)
        workers = worker_processes(process.pid)
        assert len(workers) == 2
        workers[0].kill()
        out, err = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, err) == (0, "")
    assert f"simulated {ROWS} particles x 1 = {ROWS} rows" in out
    assert_same_content(output, undisturbed)
    assert list(tmp_path.iterdir()) == [output]


def test_ctrl_c_ends_all_processes_and_keeps_finished_parts(
    tmp_path: Path, common: tuple[object, ...], undisturbed: Path
) -> None:
    output = tmp_path / "out.h5"
    arguments = (*common, "--output", output, "--rows-per-part", ROWS // PARTS)
    with start(*arguments, "--workers", 1, group=True) as process:
        wait_for_parts(process, output, 5)
        workers = worker_processes(process.pid)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130
    kept = finished(output)
    assert 5 <= kept < PARTS
    assert err.startswith(f"zdc simulate: interrupted; {kept} finished parts are kept in ")
    assert err.count("\n") == 1
    psutil.wait_procs(workers, timeout=20)
    assert not [worker for worker in workers if worker.is_running()]
    assert run(*arguments) == 0  # in this process
    assert_same_content(output, undisturbed)


def test_processes_end_with_a_killed_parent(tmp_path: Path, common: tuple[object, ...], undisturbed: Path) -> None:
    output = tmp_path / "out.h5"
    arguments = (*common, "--output", output, "--rows-per-part", ROWS // PARTS)
    with start(*arguments, "--workers", 1) as process:
        wait_for_parts(process, output, 3)
        workers = worker_processes(process.pid)
        process.kill()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive
    assert run(*arguments) == 0
    assert_same_content(output, undisturbed)


@contextmanager
def dask(*arguments: object, first: Path | None = None) -> Iterator["subprocess.Popen[bytes]"]:
    """Run `dask` with these arguments, and kill it at the end; packages in `first` replace installed ones."""
    folders = [str(first)] if first else []
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*folders, *(path for path in sys.path if path)])}
    command = [sys.executable, "-m", "dask", *map(str, arguments)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def scheduler(folder: Path, first: Path | None = None) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    file = folder / "scheduler.json"
    options = ("--host", "127.0.0.1", "--port", 0, "--no-dashboard", "--scheduler-file", file)
    with dask("scheduler", *options, first=first) as process:
        while not file.exists():
            time.sleep(0.05)
        yield process, json.loads(file.read_text())["address"]


def test_a_cluster_that_loses_a_worker_and_then_its_scheduler(
    tmp_path: Path, common: tuple[object, ...], undisturbed: Path
) -> None:
    (tmp_path / "dask").mkdir()
    output = tmp_path / "out.h5"
    arguments = (*common, "--output", output, "--rows-per-part", ROWS // PARTS)
    options = ("--nthreads", 1, "--no-nanny", "--no-dashboard", "--local-directory", tmp_path / "dask")
    with (
        scheduler(tmp_path / "dask") as (central, address),
        dask("worker", address, *options) as first,
        dask("worker", address, *options),
        start(*arguments, "--scheduler", address) as process,
    ):
        wait_for_parts(process, output, 5)
        first.kill()
        wait_for_parts(process, output, 20)
        central.kill()
        _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert f"zdc simulate: {address}: the connection to the scheduler is lost; " in err
    assert "finished parts are kept in" in err
    assert run(*arguments) == 0
    assert_same_content(output, undisturbed)


@pytest.mark.parametrize(
    ("where", "code", "message"),
    [
        ("scheduler", "", "the scheduler has no zdc-fastsim; install version "),
        ("worker", "def installed_version():\n    return '0.0.1'\n", "has zdc-fastsim 0.0.1; install version "),
    ],
)
def test_a_cluster_with_another_version_or_none_is_refused(
    tmp_path: Path,
    common: tuple[object, ...],
    where: str,
    code: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other, local = tmp_path / "other", tmp_path / "dask"
    (other / "zdc_common").mkdir(parents=True)
    (other / "zdc_common" / "__init__.py").touch()
    (other / "zdc_common" / "versions.py").write_text(code)
    local.mkdir()
    options = ("--nthreads", 1, "--no-nanny", "--no-dashboard", "--local-directory", local)
    with (
        scheduler(local, other if where == "scheduler" else None) as (_, address),
        dask("worker", address, *options, first=other if where == "worker" else None),
    ):
        assert run(*common, "--output", tmp_path / "out.h5", "--scheduler", address) == 2
    assert message in capsys.readouterr().err
    assert {*tmp_path.iterdir()} == {other, local}


def test_addresses_without_a_scheduler_are_refused(
    tmp_path: Path, common: tuple[object, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zdc_service.bulk.dask_workers._CONNECT_SECONDS", 0.5)
    output = tmp_path / "out.h5"
    assert run(*common, "--output", output, "--scheduler", "tcp://127.0.0.1:1") == 1
    assert "--scheduler tcp://127.0.0.1:1: no scheduler answers there" in capsys.readouterr().err
    assert run(*common, "--output", output, "--scheduler", "nonsense://a") == 2
    assert "use e.g. tcp://host:8786" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_workers_do_not_have_is_code_2(tmp_path: Path, common: tuple[object, ...]) -> None:
    arguments = (*common[:3], tmp_path, *common[4:], "--output", tmp_path / "out.h5", "--workers", 1)
    with start(*arguments) as process:
        _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 2
    assert "on a Dask worker: " in err
    assert "no model found" in err
