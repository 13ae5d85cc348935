"""The commands of ``train-zdc`` that train: `fit`, `profile` and `reproduce`."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import AliasChoices, BaseModel, Field
from pydantic_settings import CliPositionalArg
from zdc_common.commands import INTERRUPTED, ListedText, end, warn

if TYPE_CHECKING:
    from zdc_training.config.sections import Experiment
    from zdc_training.runs.run import Run

# Importing torch, scikit-learn and matplotlib takes seconds: commands that need them import them when they run, so that
# --help, a mistyped option and the commands on data files answer at once.

#: Name of the command.
PROG = "train-zdc"


class TorchOptions(BaseModel):
    """Options of commands that train."""

    device: str = Field("cpu", description="torch device, e.g. cuda")
    threads: int | None = Field(None, ge=1, description="number of torch threads; default: one per core")

    def use_threads(self) -> None:
        """Set the number of torch threads."""
        import torch

        if self.threads is not None:
            torch.set_num_threads(self.threads)


class KeyOptions(BaseModel):
    """Options of commands that change keys of a configuration."""

    set: list[ListedText] = Field(
        [], description="override a key: section.key=value (repeatable); `train-zdc keys` lists all keys"
    )
    unset: list[ListedText] = Field([], description="reset a key to its default: section.key (repeatable)")


class Fit(TorchOptions, KeyOptions):
    """Train a model; the run folder contains configuration, logs and checkpoints.

    With --resume, --set and --unset change keys of the run's own configuration.

    To share each batch between N processes, run

        torchrun --nproc-per-node N -m -- zdc_training.cli fit CONFIG --threads 1

    (without the two dashes, torchrun reads options of `fit` as its own).
    """

    config: CliPositionalArg[str] = Field(description="TOML file, or the name of a shipped configuration")
    run: Path | None = Field(None, description="run folder; default: runs/<name of the configuration>")
    start_from: Path | None = Field(
        None,
        validation_alias=AliasChoices("from", "start-from"),
        description="fine-tune a model: NAME/VERSION (zn-fast/1), or the folder of an exported model or of a run",
    )
    callback: list[ListedText] = Field(
        [], description="call MODULE:CLASS after every epoch (repeatable), see `zdc_training.loop.callbacks`"
    )
    resume: bool = Field(False, description="continue from the last finished epoch with the run's own configuration")

    def cli_cmd(self) -> None:
        """Train; on Ctrl-C, the last finished epoch is kept."""
        from zdc_training.config.config import changed_keys, load_config, override_config
        from zdc_training.runs.run import Run

        run = Run(self.run or Path("runs") / Path(self.config).stem)
        begun = self.resume and run.config_file.is_file()
        changes = [*self.set, *_starting_from(self.start_from)]
        if not begun:
            config = load_config(self.config, changes, self.unset)
        else:
            config = override_config(run.config(), changes, self.unset)
            kept = [] if self.start_from else _starting_from(config.start_from)
            asked = load_config(self.config, [*changes, *kept], self.unset, begun=config)
            differing = changed_keys(asked, config).items()
            if differing:
                listed = ", ".join(f"{key} = {kept!r} (not {given!r})" for key, (given, kept) in differing)
                own = f"{run.folder} continues with its own configuration, which differs from {self.config}"
                warn(PROG, f"{own}: {listed}")
        if self.resume and not begun:
            warn(PROG, f"{run.folder} contains no run to resume: a new run begins")
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
            end(PROG, f"interrupted; continue with: {self._resume_command(run)}", INTERRUPTED)
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


def _starting_from(source: Path | None) -> list[str]:
    """The override of the key `start_from`."""
    return [] if source is None else [f"start_from={json.dumps(str(source))}"]


class Profile(TorchOptions, KeyOptions):
    """Profile one training epoch; no file is written."""

    config: CliPositionalArg[str] = Field(description="TOML file, or the name of a shipped configuration")
    steps: int = Field(10, ge=1, description="number of timed steps, and of profiled steps")

    def cli_cmd(self) -> None:
        """Print the tables of times."""
        from zdc_training.config.config import load_config
        from zdc_training.loop.profile import profile_training

        self.use_threads()
        print(profile_training(load_config(self.config, self.set, self.unset), self.device, self.steps))


class Reproduce(TorchOptions, KeyOptions):
    """Reproduce a table or a figure of the paper: train and evaluate the models, then write tables and figures."""

    target: CliPositionalArg[Literal["table1", "fig1", "fig3", "fig8"]] = Field(
        description="table1: four conditional models, and all figures; fig1, fig8: latents; fig3: responses by model"
    )
    data: Literal["zn"] = Field("zn", description="zn: Geant4 showers in ALICE's neutron calorimeter")
    output: Path = Field(
        Path("runs/table1"),
        validation_alias=AliasChoices("o", "output"),
        description="folder for runs, tables and figures; unfinished runs are continued",
    )
    seeds: int = Field(3, ge=1, description="number of trainings of each model, for table1")

    def cli_cmd(self) -> None:
        """Reproduce; on Ctrl-C, the last finished epoch is kept."""
        from zdc_training.reproduction.runs import Reproduction
        from zdc_training.reproduction.targets import reproduce

        self.use_threads()
        try:
            page = reproduce(self.target, Reproduction(self.output, self.seeds, self.set, self.unset, self.device))
        except KeyboardInterrupt:
            end(PROG, "interrupted; the same command continues from the last finished epoch", INTERRUPTED)
        print(f"wrote {page}")
