"""What the commands ``zdc`` and ``train-zdc`` share: options, help, one line for a failure, exit codes."""

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

#: Exit codes, beside 0: the machine or a server refused; an option or a file is wrong; Ctrl-C; nobody reads the output.
FAILED, WRONG_INPUT, INTERRUPTED, PIPE_CLOSED = 1, 2, 130, 141

#: A text of a list option, exactly as typed. `run_command` quotes it, or the option parser would split it at commas.
ListedText = Annotated[str, AfterValidator(unquote)]


def _separated(separator: str) -> BeforeValidator:
    def split(value: object) -> object:
        if not isinstance(value, str):
            return value
        return [unquote(text) for text in json.loads(f"[{value}]")] if value.startswith('"') else value.split(separator)

    return BeforeValidator(split)


#: Files of one option, whose flag is repeated and whose variable is a list like PATH.
ListedPaths = Annotated[list[Path], NoDecode, _separated(os.pathsep)]
#: Names of one option, whose flag is repeated and whose variable is a list with commas.
ListedNames = Annotated[list[str], NoDecode, _separated(",")]

#: Types of options as their help shows them.
_METAVARS = {"Path": "PATH", "list[Path]": "PATH", "str": "TEXT", "list[str]": "TEXT", "int": "N", "float": "NUMBER"}
#: Defaults that say nothing: the option's description has them in words.
_EMPTY_DEFAULT = re.compile(r" ?\(default: (None|False|\[\])\)| ?\(default factory: .*?\)")


def command_config(prog: str) -> SettingsConfigDict:
    """How the class of a command, whose fields are its subcommands, reads its options."""
    return SettingsConfigDict(
        cli_prog_name=prog,
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
        cli_exit_on_error=False,
    )


def run_command(command: type[BaseSettings], arguments: Sequence[str] | None) -> None:
    """Run the subcommand that the arguments (default: the process's) name.

    Parameters
    ----------
    command : Has `command_config`; list options of its subcommands are of type ``list[ListedText]``.

    Raises
    ------
    SystemExit : what went wrong stands in one line on stderr; the code is one of this module's.
    """
    prog = str(command.model_config.get("cli_prog_name"))
    source = CliSettingsSource[Any](command, formatter_class=_Help, parse_args_method=_parse)
    try:
        try:
            CliApp.run(command, None if arguments is None else list(arguments), cli_settings_source=source)
        finally:
            print(end="", flush=True)  # at the end of the process a closed pipe could no longer be caught
    except BrokenPipeError:  # whoever reads, `head` say, has enough
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
    """What a shell sees of an error."""
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
    """Help without Python's names for types and for absent values."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help and _EMPTY_DEFAULT.sub("", action.help)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return super()._fill_text(inspect.cleandoc(text), width, indent)

    def _metavar_formatter(self, action: argparse.Action, default_metavar: str) -> Callable[[int], tuple[str, ...]]:
        if isinstance(action.metavar, str):
            action.metavar = _METAVARS.get(action.metavar, action.metavar)
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
    """Name the option of a problem, as flag and as variable, its value and what it must be."""
    place = [str(part) for part in problem["loc"]]
    text = problem["msg"].removeprefix("Value error, ")
    fields = command.model_fields.items()
    subcommand = next((field for name, field in fields if place and place[0] in (name, field.alias)), None)
    if not place or (subcommand and len(place) == 1):  # several options together
        return text
    option = ".".join(place)  # a setting that is no option of the subcommand
    if subcommand:
        option = f"--{place[1].replace('_', '-')}"
        model, *_ = get_args(subcommand.annotation)
        if issubclass(model, BaseSettings):
            option += f" ({model.model_config['env_prefix']}{place[1].upper()})"
    return f"{option}: {text}" if problem["type"] == "missing" else f"{option} = {problem['input']!r}: {text}"
