"""`zdc`: options as flags and variables, mistakes as one line and exit code 2."""

from pathlib import Path

import pytest
from tiny_model import write_model
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
    assert "CLI subcommand is required {serve, simulate}" in err


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "serve", "--help")
    assert code == 0
    for name in ServerSettings.model_fields:
        assert f"--{name.replace('_', '-')}" in out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["--http-port", "99999"],
            "--http-port (ZDC_HTTP_PORT) = '99999': Input should be less than or equal to 65535",
        ),
        (["--threads", "none"], "--threads (ZDC_THREADS) = 'none': Input should be a valid integer"),
        (["--device", "tpu"], "--device (ZDC_DEVICE) = 'tpu': Input should be 'cpu', 'cuda' or 'auto'"),
        (
            ["--max-request-rows", "100", "--max-queue-rows", "99"],
            "max_request_rows = 100 is above max_queue_rows = 99",
        ),
        (["--models", "/no/such/folder"], "--models /no/such/folder: no such folder"),
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


def test_a_damaged_model_is_one_line_and_code_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    (folder / "golden.npz").unlink()
    code, _, err = run(capsys, "serve", "--models", str(tmp_path), "--http-port", "0", "--grpc-port", "0")
    assert code == 2
    assert "golden.npz: cannot be read" in err


def test_defaults() -> None:
    settings = ServerSettings()
    assert (settings.host, settings.http_port, settings.grpc_port) == ("127.0.0.1", 8000, 8001)
    assert settings.device == "cpu"
    assert settings.threads == usable_cores()
