"""The command ``train-zdc``."""

import io
import os
import sys
import time
from contextlib import redirect_stderr, redirect_stdout

from pydantic import Field
from pydantic_settings import BaseSettings, CliApp, CliSubCommand
from zdc_common.commands import command_config, run_command

from zdc_training.commands.data import CheckData, CheckSymmetries, Convert, Split
from zdc_training.commands.models import Evaluate, Export, Keys
from zdc_training.commands.training import PROG, Fit, Profile, Reproduce

_LET_THE_FIRST_SPEAK = 10.0  # seconds; `torchrun` looks every tenth of a second whether a process has failed


class TrainZdc(BaseSettings):
    """Train, measure and export fast-simulation models of ALICE's Zero Degree Calorimeter."""

    model_config = command_config(PROG)

    fit: CliSubCommand[Fit] = Field(description="train a model")
    keys: CliSubCommand[Keys] = Field(description="list every key of a configuration")
    profile: CliSubCommand[Profile] = Field(description="say where the time of training goes")
    evaluate: CliSubCommand[Evaluate] = Field(description="compare a trained model with the test file")
    export: CliSubCommand[Export] = Field(description="write a trained model for the service")
    reproduce: CliSubCommand[Reproduce] = Field(description="make tables and figures of the paper again")
    convert: CliSubCommand[Convert] = Field(description="read the ALICE collaboration's files")
    split: CliSubCommand[Split] = Field(description="divide a file into one to train on and one to test on")
    check_data: CliSubCommand[CheckData] = Field(description="say what is in a file and what is wrong with it")
    check_symmetries: CliSubCommand[CheckSymmetries] = Field(description="test the symmetries of the face on data")

    def cli_cmd(self) -> None:
        """Run the subcommand."""
        CliApp.run_subcommand(self)


def main(arguments: list[str] | None = None) -> None:
    """Run ``train-zdc``; what goes wrong is one line on stderr and an exit code of `zdc_common.commands`."""
    if int(os.environ.get("RANK", "0")) == 0:
        run_command(TrainZdc, arguments)
        return
    # Another process of `torchrun`: the first one speaks for all. It is ended with the first that fails; only if that
    # one goes on, has it something to say.
    said = io.StringIO()
    try:
        with redirect_stderr(said), redirect_stdout(said):
            run_command(TrainZdc, arguments)
    except SystemExit:
        time.sleep(_LET_THE_FIRST_SPEAK)
        print(said.getvalue(), end="", file=sys.stderr)
        raise


if __name__ == "__main__":
    main()
