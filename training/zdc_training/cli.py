"""The command ``train-zdc``."""

import io
import json
import os
import shlex
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import AliasChoices, BaseModel, Field
from pydantic_settings import BaseSettings, CliApp, CliPositionalArg, CliSubCommand
from zdc_common.commands import INTERRUPTED, ListedText, command_config, end, run_command, warn
from zdc_detector.random import MAX_SEED

from zdc_training.data.commands import CheckData, CheckSymmetries, Convert, Split

if TYPE_CHECKING:
    from zdc_training.config.sections import Experiment
    from zdc_training.runs.run import Run

# torch, scikit-learn and matplotlib take seconds to load: commands that need them import them when they run, so that
# --help, a mistyped option and the commands on data files answer at once.

#: Name of the command.
PROG = "train-zdc"

_LET_THE_FIRST_SPEAK = 10.0  # seconds; `torchrun` looks every tenth of a second whether a process has failed


class OnTorch(BaseModel):
    """What commands that train have in common."""

    device: str = Field("cpu", description="torch device, e.g. cuda")
    threads: int | None = Field(None, ge=1, description="torch threads; default: one per core")

    def use_threads(self) -> None:
        """Let torch compute on as many as were asked for."""
        import torch

        if self.threads is not None:
            torch.set_num_threads(self.threads)


class WithKeys(BaseModel):
    """Commands that change keys of a configuration."""

    set: list[ListedText] = Field(
        [], description="override a key: section.key=value (repeatable); `train-zdc keys` lists them"
    )
    unset: list[ListedText] = Field([], description="give a key its default: section.key (repeatable)")


class Fit(OnTorch, WithKeys):
    """Train a model; the run folder holds configuration, logs and checkpoints.

    With --resume, --set and --unset change keys of the run's own configuration.

    Several processes share each batch under

        torchrun --nproc-per-node N -m -- zdc_training.cli fit CONFIG --threads 1

    (without the two dashes torchrun takes options of `fit` as its own).
    """

    config: CliPositionalArg[str] = Field(description="TOML file, or the name of a shipped configuration")
    run: Path | None = Field(None, description="run folder; default: runs/<name of the configuration>")
    start_from: Path | None = Field(
        None,
        validation_alias=AliasChoices("from", "start-from"),
        description="begin with the weights of a model's folder (models/zn-fast/1) or of another run",
    )
    callback: list[ListedText] = Field(
        [], description="follow the run with MODULE:CLASS (repeatable), see `zdc_training.loop.callbacks`"
    )
    resume: bool = Field(False, description="go on from the last finished epoch with the run's own configuration")

    def cli_cmd(self) -> None:
        """Train; Ctrl-C keeps the last finished epoch."""
        from zdc_training.config.config import changed_keys, load_config, override_config
        from zdc_training.runs.run import Run

        run = Run(self.run or Path("runs") / Path(self.config).stem)
        begun = self.resume and run.config_file.is_file()
        changes = [*self.set, *([f"start_from={json.dumps(str(self.start_from))}"] if self.start_from else [])]
        config = load_config(self.config, changes, self.unset)
        if begun:
            asked, config = config, override_config(run.config(), changes, self.unset)
            differing = changed_keys(asked, config).items()
            if differing:
                listed = ", ".join(f"{key} = {kept!r} (not {given!r})" for key, (given, kept) in differing)
                own = f"{run.folder} goes on with its own configuration, which is not that of {self.config}"
                warn(PROG, f"{own}: {listed}")
        elif self.resume:
            warn(PROG, f"{run.folder} holds no run to resume: a new one begins there")
        self._train(run, config)

    def _train(self, run: "Run", config: "Experiment") -> None:
        from zdc_training.evaluation.curves import CURVES_FILE, draw_curves
        from zdc_training.loop.callbacks import Followed
        from zdc_training.loop.fit import fit
        from zdc_training.loop.progress import ProgressReporter
        from zdc_training.nn.distributed import first_process

        self.use_threads()
        try:
            with (
                ProgressReporter(config.optimiser.epochs) as progress,
                Followed(progress, self.callback if first_process() else [], config, run.folder) as reporter,
            ):
                fit(config, run, self.resume, reporter, self.device)
        except KeyboardInterrupt:
            end(PROG, f"interrupted; go on with: {self._resume_command(run)}", INTERRUPTED)
        if first_process():
            draw_curves(run.records(), run.folder / CURVES_FILE)
            print(f"trained {run.folder}; next: train-zdc evaluate {run.folder}")

    def _resume_command(self, run: "Run") -> str:
        from zdc_training.nn.distributed import planned_processes

        words = [PROG]
        if planned_processes() > 1:
            words = ["torchrun", "--nproc-per-node", str(planned_processes()), "-m", "--", "zdc_training.cli"]
        words += ["fit", self.config, "--run", str(run.folder), "--resume"]
        words += ["--device", self.device] * (self.device != "cpu")
        words += ["--threads", str(self.threads)] * (self.threads is not None)
        words += [word for callback in self.callback for word in ("--callback", callback)]
        return shlex.join(words)


class Keys(BaseModel):
    """List every key of a configuration with its default, its unit and its meaning.

    With the name of a method or a configuration, it prints a complete TOML file to begin with.
    """

    of: CliPositionalArg[str | None] = Field(
        None, description="a method, a TOML file or the name of a shipped configuration; default: all methods"
    )

    def cli_cmd(self) -> None:
        """Print them."""
        from zdc_training.config.config import load_config
        from zdc_training.config.keys import all_keys, as_toml
        from zdc_training.config.methods import method_config, method_configs, registered_methods

        if self.of is None:
            print(all_keys(method_configs()), end="")
        else:
            registered = self.of in registered_methods()
            print(as_toml(method_config(self.of).model_validate({}) if registered else load_config(self.of)), end="")


class Profile(OnTorch, WithKeys):
    """Say where the time of an epoch of training goes; nothing is written."""

    config: CliPositionalArg[str] = Field(description="TOML file, or the name of a shipped configuration")
    steps: int = Field(10, ge=1, description="steps that are timed, and as many that are profiled")

    def cli_cmd(self) -> None:
        """Print the tables."""
        from zdc_training.config.config import load_config
        from zdc_training.loop.profile import profile_training

        self.use_threads()
        print(profile_training(load_config(self.config, self.set, self.unset), self.device, self.steps))


class Evaluate(BaseModel):
    """Compare a model with simulations that it was not trained on: every figure beside its floor.

    A floor needs two simulations of each particle, better four; of single ones there are the figures that need none.
    """

    model: CliPositionalArg[Path] = Field(description="run folder of `train-zdc fit`, or an exported model's folder")
    test: Path | None = Field(
        None, description="file of showers that were not trained on, HDF5; default: data.test of the configuration"
    )
    output: Path | None = Field(
        None, description="folder for figures and pictures; default: the run, or runs/<name>-<version> of an export"
    )
    repeats: int = Field(
        50, ge=2, description="generated responses of each particle; many, so that chance in the generator tells little"
    )
    seed: int = Field(1, ge=0, lt=MAX_SEED, description="of the generated responses and of the bootstrap")
    resamples: int = Field(200, ge=1, description="bootstrap resamples")

    def cli_cmd(self) -> None:
        """Write metrics.json, metrics.md and pictures and print the tables."""
        from zdc_training.evaluation.evaluate import evaluate_model
        from zdc_training.evaluation.subjects import open_subject

        subject = open_subject(self.model, self.test)
        report = evaluate_model(
            subject,
            self.output or subject.folder,
            repeats=self.repeats,
            seed=self.seed,
            resamples=self.resamples,
        )
        print(report.to_markdown())


class Export(BaseModel):
    """Write the best model of a run as a folder that the service loads, or as files for ALICE O2."""

    run: CliPositionalArg[Path] = Field(description="run folder of `train-zdc fit`; evaluated, for `service`")
    format: Literal["service", "o2"] = Field(
        "service",
        description="`o2`: graphs and a text of scales, as O2's ZDC fast simulation loads them, and a README",
    )
    output: Path | None = Field(
        None,
        validation_alias=AliasChoices("o", "output"),
        description="folder that gets <name>/<version>/, default: models; for `o2` the files' own, default: <run>/o2",
    )
    model_version: int | None = Field(
        None, ge=1, description="version to write; default: output.version of the configuration, or else the next one"
    )
    overwrite: bool = Field(False, description="replace what is there")

    def cli_cmd(self) -> None:
        """Export, compare ONNX with torch, and say where it went."""
        from zdc_training.export.o2 import export_o2
        from zdc_training.export.service import export
        from zdc_training.runs.run import Run

        run = Run(self.run)
        if self.format == "o2":
            written = export_o2(run, self.output or run.folder / "o2", self.overwrite)
        else:
            written = export(run, self.output or Path("models"), self.overwrite, self.model_version)
        print(f"exported {written}")


class Reproduce(OnTorch, WithKeys):
    """Make a table or a figure of the paper again: trains, evaluates and draws what it needs."""

    target: CliPositionalArg[Literal["table1", "fig1", "fig3", "fig8"]] = Field(
        description="table1: four conditional models, with all figures; fig1, fig8: latents; fig3: responses by model"
    )
    data: Literal["zn"] = Field("zn", description="zn: Geant4 showers in ALICE's neutron calorimeter")
    output: Path = Field(
        Path("runs/table1"),
        validation_alias=AliasChoices("o", "output"),
        description="folder for the runs, which go on from where they were, and for what is made of them",
    )
    seeds: int = Field(3, ge=1, description="trainings of each model, for table1")

    def cli_cmd(self) -> None:
        """Make it; Ctrl-C keeps the last finished epoch."""
        from zdc_training.reproduction.runs import Plan
        from zdc_training.reproduction.targets import reproduce

        self.use_threads()
        try:
            page = reproduce(self.target, Plan(self.output, self.seeds, self.set, self.unset, self.device))
        except KeyboardInterrupt:
            end(PROG, "interrupted; the same command goes on from the last finished epoch", INTERRUPTED)
        print(f"wrote {page}")


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
