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
from zdc_training.commands.few_showers import FewShowers
from zdc_training.commands.models import Evaluate, Export, Keys
from zdc_training.commands.simulation import Simulate
from zdc_training.commands.simulator_validation import ValidateSimulator
from zdc_training.commands.training import PROG, Fit, Profile, Reproduce

_WAIT_FOR_FIRST = 10.0  # seconds; `torchrun` checks every tenth of a second whether a process has failed


class TrainZdc(BaseSettings):
    """Train, evaluate and export fast-simulation models of ALICE's Zero Degree Calorimeter."""

    model_config = command_config(PROG)

    fit: CliSubCommand[Fit] = Field(description="train a model")
    keys: CliSubCommand[Keys] = Field(description="list every key of a configuration")
    profile: CliSubCommand[Profile] = Field(description="profile one training epoch")
    evaluate: CliSubCommand[Evaluate] = Field(description="compare a trained model with a test file")
    export: CliSubCommand[Export] = Field(description="write a trained model for the service or for ALICE O2")
    reproduce: CliSubCommand[Reproduce] = Field(description="reproduce a table or a figure of the paper")
    simulate: CliSubCommand[Simulate] = Field(description="simulate showers with Geant4")
    few_showers: CliSubCommand[FewShowers] = Field(
        description="compare models from few showers of a changed calorimeter"
    )
    validate_simulator: CliSubCommand[ValidateSimulator] = Field(description="validate the simulation with Geant4")
    convert: CliSubCommand[Convert] = Field(description="convert files of the ALICE collaboration")
    split: CliSubCommand[Split] = Field(description="split a file into a training file and a test file")
    check_data: CliSubCommand[CheckData] = Field(description="check a file of showers and summarise it")
    check_symmetries: CliSubCommand[CheckSymmetries] = Field(description="test the symmetries of the face with data")

    def cli_cmd(self) -> None:
        """Run the subcommand."""
        CliApp.run_subcommand(self)


def main(arguments: list[str] | None = None) -> None:
    """Run ``train-zdc``; an error is one line on stderr and an exit code of `zdc_common.commands`."""
    if int(os.environ.get("RANK", "0")) == 0:
        run_command(TrainZdc, arguments)
        return
    # Another process of `torchrun`: only process 0 prints. If process 0 fails too, `torchrun` ends this process while
    # it waits. If process 0 continues, this process prints its own error.
    said = io.StringIO()
    try:
        with redirect_stderr(said), redirect_stdout(said):
            run_command(TrainZdc, arguments)
    except SystemExit:
        time.sleep(_WAIT_FOR_FIRST)
        print(said.getvalue(), end="", file=sys.stderr)
        raise


if __name__ == "__main__":
    main()
