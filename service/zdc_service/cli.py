"""The command ``zdc``."""

import os

from pydantic import Field
from pydantic_settings import BaseSettings, CliApp, CliSubCommand, SettingsConfigDict
from zdc_common.commands import command_config, run_command, warn
from zdc_common.errors import ConfigError, ModelError

from zdc_service.allocator import keep_large_buffers
from zdc_service.commands.merge import Merge
from zdc_service.commands.show import Show
from zdc_service.commands.simulate import Simulate
from zdc_service.commands.validate import Validate
from zdc_service.settings import ServerSettings
from zdc_service.variables import warnings_about


class Serve(ServerSettings):
    """Serve simulated calorimeter responses over HTTP and gRPC, until SIGTERM, SIGHUP or Ctrl-C.

    Each option can also be given as an environment variable: --http-port as ZDC_HTTP_PORT.
    """

    def cli_cmd(self) -> None:
        """Run the server until a signal ends it."""
        from zdc_service.serving.server import serve

        try:
            serve(self)
        except ModelError as error:  # the option --models names the folder: report it as an invalid option
            raise ConfigError(str(error)) from error


class Zdc(BaseSettings):
    """Fast simulation of ALICE's Zero Degree Calorimeter."""

    # The field cannot be named `json`: pydantic has a method of that name.
    model_config = command_config("zdc") | SettingsConfigDict(cli_shortcuts={"json-output": "json"})

    serve: CliSubCommand[Serve] = Field(description="serve responses over HTTP and gRPC")
    simulate: CliSubCommand[Simulate] = Field(description="simulate particles and write the responses to a file")
    merge: CliSubCommand[Merge] = Field(description="write the slices of a job to one file")
    # The field cannot be named `validate`: pydantic has a method of that name.
    compare: CliSubCommand[Validate] = Field(
        alias="validate", description="compare generated with simulated responses in an HTML report"
    )
    show: CliSubCommand[Show] = Field(description="draw responses of a file")

    def cli_cmd(self) -> None:
        """Run the subcommand."""
        CliApp.run_subcommand(self)


def main(arguments: list[str] | None = None) -> None:
    """Run ``zdc``; an error is one line on stderr and an exit code of `zdc_common.commands`."""
    for line in warnings_about(os.environ, Zdc):
        warn("zdc", line)
    keep_large_buffers()
    run_command(Zdc, arguments)


if __name__ == "__main__":
    main()
