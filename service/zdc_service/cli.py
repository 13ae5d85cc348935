"""The command ``zdc``."""

import argparse
import inspect
import re
import sys
from collections.abc import Callable

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, CliApp, CliSettingsSource, CliSubCommand, SettingsConfigDict, SettingsError
from zdc_detector.errors import ZdcError

from zdc_service.allocator import keep_large_buffers
from zdc_service.settings import ServerSettings
from zdc_service.simulate_command import Simulate, quote_particles

#: What a shell sees where an option, a model or an input is wrong, and after Ctrl-C.
USAGE_ERROR, INTERRUPTED = 2, 130

#: Types of options as their help shows them.
_METAVARS = {"Path": "PATH", "str": "TEXT", "list[str]": "TEXT", "int": "N", "float": "NUMBER"}
#: Defaults that say nothing: the option's description has them in words.
_EMPTY_DEFAULT = re.compile(r" ?\(default: (None|False|\[\])\)| ?\(default factory: .*?\)")


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


class Serve(ServerSettings):
    """Serve calorimeter responses over HTTP and gRPC until SIGTERM or Ctrl-C.

    Each option can also be given as an environment variable: --http-port as ZDC_HTTP_PORT.
    """

    def cli_cmd(self) -> None:
        """Run until SIGTERM or SIGINT."""
        from zdc_service.app import serve

        serve(self)


class Zdc(BaseSettings):
    """Fast simulation of ALICE's Zero Degree Calorimeter."""

    model_config = SettingsConfigDict(
        cli_prog_name="zdc",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
        cli_exit_on_error=False,
    )

    serve: CliSubCommand[Serve] = Field(description="serve responses over HTTP and gRPC")
    simulate: CliSubCommand[Simulate] = Field(description="simulate particles and write the responses to a file")

    def cli_cmd(self) -> None:
        """Run the subcommand."""
        CliApp.run_subcommand(self)


def main(arguments: list[str] | None = None) -> None:
    """Run ``zdc``; an error of the caller's is one line on stderr and exit code 2."""
    keep_large_buffers()
    try:
        given = quote_particles(sys.argv[1:] if arguments is None else arguments)
        CliApp.run(Zdc, cli_args=given, cli_settings_source=CliSettingsSource(Zdc, formatter_class=_Help))
    except ValidationError as error:
        _exit("; ".join(_describe(problem) for problem in error.errors()))
    except (SettingsError, ZdcError) as error:
        _exit(str(error).removeprefix("Error: "))
    except KeyboardInterrupt:
        _exit("interrupted", INTERRUPTED)


def _describe(problem: ErrorDetails) -> str:
    """Name the option of a problem, as flag and as variable, its value and what it must be."""
    command, *path = problem["loc"]
    text = problem["msg"].removeprefix("Value error, ")
    if not path:  # of several options together
        return text
    name = str(path[0])
    option = f"--{name.replace('_', '-')}"
    if command == "serve":
        option += f" ({Serve.model_config['env_prefix']}{name.upper()})"
    return f"{option}: {text}" if problem["type"] == "missing" else f"{option} = {problem['input']!r}: {text}"


def _exit(message: str, code: int = USAGE_ERROR) -> None:
    print(f"zdc: {message}", file=sys.stderr)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
