"""Common behaviour of `zdc` and `train-zdc`: texts and exit codes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic_settings import BaseSettings, CliApp, CliSubCommand
from zdc_common.commands import FAILED, INTERRUPTED, WRONG_INPUT, ListedText, command_config, run_command
from zdc_common.errors import ConfigError, FileFormatError, InvalidInputError, ModelError, ModelNotFoundError


class Repeat(BaseModel):
    """Repeats its arguments.

    Line for line.
    """

    text: list[ListedText] = []

    def cli_cmd(self) -> None:
        said.extend(self.text)
        if trouble:
            raise trouble[0]


class Parrot(BaseSettings):
    """A command of one subcommand."""

    model_config = command_config("parrot")

    repeat: CliSubCommand[Repeat]

    def cli_cmd(self) -> None:
        CliApp.run_subcommand(self)


said: list[str] = []
trouble: list[BaseException] = []


@pytest.mark.parametrize(
    "texts",
    [
        ["a=1,b=2", "c=3"],
        ['say "a", then \\'],
        ["%2C%"],
        ["[1, 2]", "{}"],
        ["1.50"],
        ["true", "null", "None"],
        ["", " "],
    ],
)
def test_listed_texts_are_as_typed(texts: list[str]) -> None:
    said.clear()
    run_command(Parrot, ["repeat", *(word for text in texts for word in ("--text", text))])
    assert said == texts
    said.clear()
    run_command(Parrot, ["repeat", *(f"--text={text}" for text in texts)])
    assert said == texts


@given(st.text())
def test_any_text_is_as_typed(text: str) -> None:
    said.clear()
    run_command(Parrot, ["repeat", f"--text={text}"])
    assert said == [text]


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("--a 1: wrong"), WRONG_INPUT, "--a 1: wrong"),
        (FileFormatError("a.h5: wrong"), WRONG_INPUT, "a.h5: wrong"),
        (InvalidInputError("pz is nan"), WRONG_INPUT, "pz is nan"),
        (ModelNotFoundError("no model"), WRONG_INPUT, "no model"),
        (ModelError("not what it says"), FAILED, "not what it says"),
        (PermissionError(13, "Permission denied"), FAILED, "[Errno 13] Permission denied"),
        (KeyboardInterrupt(), INTERRUPTED, "interrupted"),
    ],
)
def test_errors_are_one_line_and_a_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, line: str
) -> None:
    monkeypatch.setattr(f"{__name__}.trouble", [error])
    with pytest.raises(SystemExit) as ended:
        run_command(Parrot, ["repeat"])
    assert (ended.value.code, capsys.readouterr()) == (code, ("", f"parrot: {line}\n"))
