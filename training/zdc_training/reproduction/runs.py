"""The runs of a reproduction; each is trained and evaluated unless it is finished."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from zdc_common.errors import ConfigError
from zdc_metrics import Report

from zdc_training.config.config import data_path, held_out_path, load_config
from zdc_training.config.sections import Experiment
from zdc_training.data.datasets import check_unseen, load_split
from zdc_training.evaluation.curves import CURVES_FILE, draw_curves
from zdc_training.evaluation.evaluate import REPEATS, evaluate_model
from zdc_training.evaluation.subjects import subject_of_run
from zdc_training.loop.fit import check_settings, fit, open_device
from zdc_training.loop.progress import ProgressReporter
from zdc_training.runs.run import Run


@dataclass(frozen=True)
class TableModel:
    """A model of the paper's table.

    Attributes
    ----------
    label : Name in the paper.
    config : Name of the shipped configuration.
    """

    label: str
    config: str


#: The rows of table 1, in the paper's order.
TABLE1 = (
    TableModel("cond VAE", "zn-cvae"),
    TableModel("cond WAE (MMD)", "zn-cwae"),
    TableModel("cond e2eSAE", "zn-e2esae-table1"),
    TableModel("cond DCGAN", "zn-cdcgan"),
)
E2ESAE, CVAE = TABLE1[2], TABLE1[0]


@dataclass(frozen=True)
class Reproduction:
    """Options for the runs of a reproduction.

    Attributes
    ----------
    folder : Parent of a run folder for each model and seed.
    seeds : Number of trainings of each model; seeds begin with 1.
    overrides, unset : For all models, see `zdc_training.config.config.load_config`.
    device : Name of the torch device.
    """

    folder: Path
    seeds: int = 3
    overrides: Sequence[str] = ()
    unset: Sequence[str] = ()
    device: str = "cpu"

    def run(self, entry: TableModel, seed: int) -> Run:
        """The run of a model and a seed."""
        return Run(self.folder / f"{entry.config}-seed{seed}")

    def config(self, entry: TableModel, seed: int) -> Experiment:
        """The configuration of this run."""
        return load_config(entry.config, [*self.overrides, f"seed={seed}"], self.unset)


@dataclass(frozen=True)
class Finished:
    """A trained and evaluated model.

    Attributes
    ----------
    seconds : Median time of an epoch [s].
    epochs : Number of epochs.
    """

    entry: TableModel
    seed: int
    run: Run
    report: Report
    seconds: float
    epochs: int


def prepare(reproduction: Reproduction, entries: Sequence[TableModel], seeds: Sequence[int]) -> list[Finished]:
    """Train and evaluate the missing runs one after the other, with progress on stderr.

    An interrupted run continues from its last finished epoch. All configurations are checked before the first training.

    Raises
    ------
    ConfigError : a key is wrong for one of the models, or a run in the folder has another configuration.
    FileFormatError, TrainingError : see `zdc_training.loop.fit.fit`.
    """
    jobs = [(entry, seed) for seed in seeds for entry in entries]
    place = open_device(reproduction.device)
    for entry, seed in jobs:
        reproduction.run(entry, seed).check(reproduction.config(entry, seed), True)
    for config in {config.data: config for config in (reproduction.config(*job) for job in jobs)}.values():
        check_unseen(data_path(config.data.train), held_out_path(config.data))
        showers = len(load_split(config.data)[0])
        for job in jobs:
            check_settings(reproduction.config(*job), showers, place)
    done = []
    for number, (entry, seed) in enumerate(jobs, 1):
        print(f"run {number} of {len(jobs)}: {entry.config}, seed {seed}", file=sys.stderr, flush=True)
        done.append(_prepared(reproduction, entry, seed))
    return done


def _prepared(reproduction: Reproduction, entry: TableModel, seed: int) -> Finished:
    run = reproduction.run(entry, seed)
    report = trained_and_evaluated(reproduction.config(entry, seed), run, reproduction.device)
    seconds = sorted(record["seconds"] for record in run.records())
    return Finished(entry, seed, run, report, seconds[len(seconds) // 2], len(seconds))


def trained_and_evaluated(
    config: Experiment, run: Run, device: str, repeats: int = REPEATS, resamples: int = 200
) -> Report:
    """Train a run to its end and evaluate it on its test file; what is finished is not done again.

    Parameters
    ----------
    repeats, resamples : See `zdc_training.evaluation.evaluate.evaluate_model`.

    Raises
    ------
    ConfigError, FileFormatError, TrainingError : see `zdc_training.loop.fit.fit`.
    """
    with ProgressReporter(config.optimiser.epochs) as reporter:
        fit(config, run, True, reporter, device)
    if not run.metrics.is_file():
        draw_curves(run.records(), run.folder / CURVES_FILE)
        evaluate_model(subject_of_run(run), run.folder, repeats=repeats, resamples=resamples)
    return read_report(run.metrics)


def read_report(path: Path) -> Report:
    """Read the report of an evaluation.

    Raises
    ------
    ConfigError : it is not a report of this version.
    """
    try:
        return Report.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ConfigError(f"{path} is not a report of this version; remove it to evaluate again") from error
