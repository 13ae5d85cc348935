"""`zdc`: options as flags and variables, mistakes as one line and exit code 2."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.models.tiny_model import write_model
from onnxruntime import InferenceSession
from zdc_common.commands import PIPE_CLOSED
from zdc_common.versions import installed_version
from zdc_service.cli import main
from zdc_service.settings import ServerSettings, usable_cores


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


def test_a_subcommand_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys)
    assert code == 2
    assert "CLI subcommand is required {serve, simulate" in err


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, f"zdc {installed_version()}\n", "")


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "serve", "--help")
    assert code == 0
    for name in ServerSettings.model_fields:
        assert f"--{name.replace('_', '-')}" in out
    assert "ZDC_HTTP_PORT" in out
    assert "default: the number of usable cores" in " ".join(out.split())


@pytest.mark.parametrize("command", ["serve", "simulate"])
def test_help_has_no_names_of_python_types(capsys: pytest.CaptureFixture[str], command: str) -> None:
    _, out, _ = run(capsys, command, "--help")
    for word in ("None", "Path", "list[", " str", " int", "factory", "[]"):
        assert word not in out
    text = " ".join(out.split())  # independent of line breaks
    assert "(default: 8000)" in text or "(default: 1024)" in text


def test_an_interrupt_is_one_line_and_code_130(
    capsys: pytest.CaptureFixture[str], models_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(InferenceSession, "run", interrupted)  # while the models are loaded
    arguments = ("--models", str(models_folder), "--default-model", "tiny", "--http-port", "0", "--grpc-port", "0")
    code, _, err = run(capsys, "serve", *arguments)
    assert (code, err) == (130, "zdc: interrupted\n")


def test_the_error_names_an_invalid_host(capsys: pytest.CaptureFixture[str], models_folder: Path) -> None:
    arguments = ("--models", str(models_folder), "--default-model", "tiny", "--http-port", "0", "--host", "203.0.113.7")
    code, _, err = run(capsys, "serve", *arguments, "--insecure")
    assert code == 2
    assert "--http-port 0 on 203.0.113.7" in err
    assert "--host must be an address of this machine" in err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["--http-port", "99999"],
            "--http-port (ZDC_HTTP_PORT) = '99999': Input should be less than or equal to 65535",
        ),
        (["--threads", "none"], "--threads (ZDC_THREADS) = 'none': Input should be a valid integer"),
        (["--device", "tpu"], "--device (ZDC_DEVICE) = 'tpu': Input should be 'cpu', 'cuda', 'tensorrt' or 'auto'"),
        (
            ["--max-request-rows", "100", "--max-queue-rows", "99"],
            "max_request_rows = 100 must be at most max_queue_rows = 99",
        ),
        (["--http-port", "0", "--models", "/no/such/folder"], "--models /no/such/folder: no such folder"),
        (["--surprise"], "error parsing CLI: unrecognized arguments: --surprise"),
    ],
)
def test_wrong_options_are_one_line_and_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], text: str
) -> None:
    code, _, err = run(capsys, "serve", *arguments)
    assert code == 2
    assert err.startswith(f"zdc: {text}")
    assert len(err.strip().splitlines()) == 1


def test_variables_are_options(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZDC_THREADS", "0")
    code, _, err = run(capsys, "serve")
    assert code == 2
    assert "--threads (ZDC_THREADS) = '0'" in err


def test_an_error_names_the_environment_variable(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZDC_THREADS", "0")
    code, _, err = run(capsys, "simulate", "--particle", "pdg=2112,pz=1500", "--output", str(tmp_path / "out.h5"))
    assert (code, err) == (2, "zdc: threads = '0': Input should be greater than or equal to 1\n")


def test_unknown_variables_are_warned_about(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    misspelt = {"ZDC_HTP_PORT": "9000", "ZDC_TREADS": "2", "zdc_something_else": "1"}
    of_others = {"ZDC_TOKEN": "abc", "ZDC_PORT": "tcp://10.0.0.1:8000", "ZDC_SERVICE_PORT_GRPC": "8001"}
    ours = {"ZDC_THREADS": "0", "ZDC_CLIENT_TOKEN_FILE": "t", "ZDC_SHOW_ROWS": "1"}
    for name, value in (misspelt | of_others | ours).items():
        monkeypatch.setenv(name, value)
    _, _, err = run(capsys, "serve")
    assert err.splitlines()[:-1] == [
        "zdc: ZDC_HTP_PORT is not an option and has no effect; did you mean ZDC_HTTP_PORT?",
        "zdc: ZDC_TREADS is not an option and has no effect; did you mean ZDC_THREADS?",
        "zdc: zdc_something_else is not an option and has no effect",
    ]


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_closed_pipe_ends_the_command_quietly(tmp_path: Path, models_folder: Path, unbuffered: str) -> None:
    output = tmp_path / "out.npz"
    options = ["--particle", "pdg=2112,pz=1500", "--models", str(models_folder), "--model", "tiny"]
    command = [sys.executable, "-m", "zdc_service.cli", "simulate", *options, "--output", str(output)]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        command, stdout=writer, stderr=subprocess.PIPE, env=environment, text=True, check=False, timeout=120
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (PIPE_CLOSED, "")
    assert output.is_file()


def test_a_damaged_model_is_one_line_and_code_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    (folder / "golden.npz").unlink()
    code, _, err = run(capsys, "serve", "--models", str(tmp_path), "--http-port", "0", "--grpc-port", "0")
    assert code == 2
    assert "golden.npz: cannot be read" in err


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/pod/one", {"sys/fs/cgroup/pod/one/cpu.max": "100000 100000"}, 1),
        (
            "0::/pod/one",
            {"sys/fs/cgroup/pod/cpu.max": "50000 100000", "sys/fs/cgroup/pod/one/cpu.max": "max 100000"},
            1,
        ),
        ("0::/../../elsewhere", {"sys/fs/cgroup/cpu.max": "100000 100000"}, 1),
        ("0::/", {"sys/fs/cgroup/cpu.max": "150000 100000"}, 2),
        ("0::/", {"sys/fs/cgroup/cpu.max": "max 100000"}, None),
        ("0::/", {"sys/fs/cgroup/cpu.max": "6400000 100000"}, None),
        ("0::/", {}, None),
        (
            "12:memory:/pod\n3:cpu,cpuacct:/pod",
            {
                "sys/fs/cgroup/cpu,cpuacct/pod/cpu.cfs_quota_us": "80000",
                "sys/fs/cgroup/cpu,cpuacct/pod/cpu.cfs_period_us": "100000",
            },
            1,
        ),
        (
            "3:cpu:/pod",
            {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "20000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"},
            1,
        ),
        (
            "3:cpu:/",
            {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"},
            None,
        ),
        (None, {}, None),
    ],
)
def test_the_quota_of_the_control_group_bounds_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: str | None, files: dict[str, str], cores: int | None
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    if groups is not None:
        files = {**files, "proc/self/cgroup": groups}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert usable_cores(tmp_path) == (8 if cores is None else cores)


def test_defaults() -> None:
    settings = ServerSettings()
    assert (settings.host, settings.http_port, settings.grpc_port) == ("127.0.0.1", 8000, 8001)
    assert settings.device == "cpu"
    assert settings.threads == usable_cores()


def test_lists_of_names_as_flags_and_as_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZDC_ALLOWED_HOSTS", "zdc.example,10.0.0.1")
    monkeypatch.setenv("ZDC_CORS_ORIGINS", "https://Page.example:8443,http://localhost:3000")
    settings = ServerSettings()
    assert settings.allowed_hosts == ["zdc.example", "10.0.0.1"]
    assert settings.cors_origins == ["https://page.example:8443", "http://localhost:3000"]


@pytest.mark.parametrize(
    ("option", "values", "message"),
    [
        (
            "--allowed-hosts",
            ["zdc.example", "http://zdc.example"],
            "'http://zdc.example' must be a host name without scheme",
        ),
        ("--allowed-hosts", ["zdc.example:8000"], "'zdc.example:8000' must be a host name without scheme and port"),
        ("--allowed-hosts", [""], "'' must be a host name"),
        ("--cors-origins", ["https://a.example", "a.example"], "'a.example' must be https://host"),
        ("--cors-origins", ["https://a.example/"], "'https://a.example/' must be https://host"),
        ("--cors-origins", ["https://a.example,https://b.example"], "must be https://host"),
    ],
)
def test_invalid_host_names_and_origins_are_refused(
    capsys: pytest.CaptureFixture[str], option: str, values: list[str], message: str
) -> None:
    code, _, err = run(capsys, "serve", *(part for value in values for part in (option, value)))
    assert code == 2
    assert message in err
    assert f"{option} (ZDC_{option[2:].upper().replace('-', '_')}) = " in err
