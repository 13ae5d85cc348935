"""Command lines of ``zdc`` and ``train-zdc``: options, help, error messages in one line, exit codes."""

import argparse
import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, get_args
from urllib.parse import quote, unquote

from pydantic import AfterValidator, BeforeValidator, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, CliApp, CliSettingsSource, NoDecode, SettingsConfigDict, SettingsError

from zdc_common.errors import ConfigError, FileFormatError, InvalidInputError, ModelNotFoundError, ZdcError
from zdc_common.versions import installed_version

#: Exit codes: the machine or a server fails; an option or a file is wrong; Ctrl-C; the output pipe is closed.
FAILED, WRONG_INPUT, INTERRUPTED, PIPE_CLOSED = 1, 2, 130, 141

#: One text of a list option, exactly as typed. `run_command` quotes it: the option parser would split it at commas.
ListedText = Annotated[str, AfterValidator(unquote)]


def _separated(separator: str) -> BeforeValidator:
    def split(value: object) -> object:
        if not isinstance(value, str):
            return value
        return [unquote(text) for text in json.loads(f"[{value}]")] if value.startswith('"') else value.split(separator)

    return BeforeValidator(split)


#: Files of an option. Its flag may be repeated; its environment variable is a list like PATH.
ListedPaths = Annotated[list[Path], NoDecode, _separated(os.pathsep)]
#: Names of an option. Its flag may be repeated; its environment variable is a list with commas.
ListedNames = Annotated[list[str], NoDecode, _separated(",")]

#: Names of option types in the help text.
_METAVARS = {"Path": "PATH", "list[Path]": "PATH", "str": "TEXT", "list[str]": "TEXT", "int": "N", "float": "NUMBER"}
#: Default of an option that is a list, and what to leave out of it.
_LISTED_DEFAULT = re.compile(r"\(default: \[[^]]*\]\)")
_UNQUOTED = str.maketrans("", "", "[]'")
#: Type of an option that is a list of given words.
_LISTED_CHOICES = re.compile(r"list\[(\{.*\})\]")
#: Defaults without information: the description of the option names them in words.
_EMPTY_DEFAULT = re.compile(r" ?\(default: (None|False|\[\])\)| ?\(default factory: .*?\)")


def command_config(prog: str) -> SettingsConfigDict:
    """Configuration of the class of a command; the fields of the class are its subcommands."""
    return SettingsConfigDict(
        cli_prog_name=prog,
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
        cli_exit_on_error=False,
    )


def run_command(command: type[BaseSettings], arguments: Sequence[str] | None) -> None:
    """Run the subcommand named by the arguments; None takes the arguments of this process.

    Parameters
    ----------
    command : A class with `command_config`. List options of its subcommands have the type ``list[ListedText]``.

    Raises
    ------
    SystemExit : after an error, with one line on stderr and an exit code of this module.
    """
    prog = str(command.model_config.get("cli_prog_name"))
    source = CliSettingsSource[Any](command, formatter_class=_Help, parse_args_method=_parse)
    try:
        try:
            CliApp.run(command, None if arguments is None else list(arguments), cli_settings_source=source)
        finally:
            print(end="", flush=True)  # a closed pipe must raise here; at the end of the process nothing catches it
    except BrokenPipeError:  # the reader, for example `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(PIPE_CLOSED) from None
    except ValidationError as error:
        end(prog, "; ".join(_describe(problem, command) for problem in error.errors()), WRONG_INPUT)
    except SettingsError as error:
        end(prog, str(error).removeprefix("Error: "), WRONG_INPUT)
    except (ZdcError, OSError) as error:
        end(prog, str(error), exit_code(error))
    except KeyboardInterrupt:
        end(prog, "interrupted", INTERRUPTED)


def exit_code(error: ZdcError | OSError) -> int:
    """The exit code for an error."""
    wrong = isinstance(error, (ConfigError, FileFormatError, InvalidInputError, ModelNotFoundError))
    return WRONG_INPUT if wrong else FAILED


def warn(prog: str, text: str) -> None:
    """Print a line on stderr."""
    print(f"{prog}: {text}", file=sys.stderr)


def end(prog: str, text: str, code: int) -> NoReturn:
    """End the process with a line on stderr."""
    warn(prog, text)
    raise SystemExit(code)


class _Help(argparse.RawDescriptionHelpFormatter):
    """Formats help without Python's names of types and of missing defaults."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help and _EMPTY_DEFAULT.sub("", action.help)
        return text and _LISTED_DEFAULT.sub(lambda found: found[0].translate(_UNQUOTED), text)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return super()._fill_text(inspect.cleandoc(text), width, indent)

    def _metavar_formatter(self, action: argparse.Action, default_metavar: str) -> Callable[[int], tuple[str, ...]]:
        if isinstance(action.metavar, str):
            action.metavar = _METAVARS.get(action.metavar, action.metavar)
            if choices := _LISTED_CHOICES.fullmatch(action.metavar):
                action.metavar = choices[1]
        return super()._metavar_formatter(action, default_metavar)


def _parse(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    text = f"{parser.prog} {installed_version()}"
    parser.add_argument("--version", action="version", version=text, help="print the version and end")
    parsed = parser.parse_args(arguments)
    for name, value in vars(parsed).items():
        if isinstance(value, list):
            setattr(parsed, name, [f'"{quote(text, safe="")}"' for text in value])
    return parsed


def _describe(problem: ErrorDetails, command: type[BaseSettings]) -> str:
    """A message with the option as flag and as variable, its value and the requirement."""
    place = [str(part) for part in problem["loc"]]
    text = problem["msg"].removeprefix("Value error, ")
    fields = command.model_fields.items()
    subcommand = next((field for name, field in fields if place and place[0] in (name, field.alias)), None)
    if not place or (subcommand and len(place) == 1):  # concerns several options
        return text
    option = ".".join(place)  # a setting without an option
    if subcommand:
        option = f"--{place[1].replace('_', '-')}"
        model, *_ = get_args(subcommand.annotation)
        if issubclass(model, BaseSettings):
            option += f" ({model.model_config['env_prefix']}{place[1].upper()})"
    return f"{option}: {text}" if problem["type"] == "missing" else f"{option} = {problem['input']!r}: {text}"
