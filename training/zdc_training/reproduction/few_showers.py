"""Figures of merit of models from few showers of a changed calorimeter: from random weights, and fine-tuned.

Showers are drawn from a training file by particle; a larger sample contains a smaller one. A tenth or more of each
sample is for validation (`data.validation_share`), so that a model needs no shower besides its sample. All models are
evaluated on one test file with repeats.
"""

import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import h5py
import numpy as np
from zdc_common.errors import ConfigError
from zdc_common.file_content import sha256_of
from zdc_common.whole_file import write_whole
from zdc_detector.random import SPLIT_STREAM, raw_words
from zdc_detector.shower_rows import file_attributes
from zdc_detector.showers import Showers, read_showers
from zdc_metrics import Report
from zdc_metrics.samples.trimming import even_repeats

from zdc_training.config.config import load_config, override_config
from zdc_training.config.sections import Experiment
from zdc_training.data.datasets import check_unseen, load_split, same_particles
from zdc_training.data.split import write_part
from zdc_training.evaluation.evaluate import METRICS_FILE, REPEATS, evaluate_model
from zdc_training.evaluation.subjects import open_subject
from zdc_training.loop.fit import check_settings, open_device
from zdc_training.reproduction.runs import read_report, trained_and_evaluated
from zdc_training.runs.fine_tuning import check_keys
from zdc_training.runs.run import Run
from zdc_training.runs.source import open_source

#: Numbers of showers of the table.
SHOWERS = (100, 300, 1000, 3000)
#: Kinds of training; `SOURCE` is the model that is fine-tuned, as it is.
SOURCE, SCRATCH, TUNED = "source", "from random weights", "fine-tuned"

_INPUTS_FILE = "inputs.txt"
_SCRATCH_STEPS = 2000  # at least; with fewer, a training from random weights is not at its end
_VALIDATIONS = 30  # of a training from random weights, which keeps the best one
_SEED = 20_000  # of the samples, plus their number
_EVALUATION = 500  # steps that take as long as an evaluation, for the remaining time


@dataclass(frozen=True)
class FewShowers:
    """A comparison of models from few showers.

    Attributes
    ----------
    source : The model that is fine-tuned, as `Experiment.start_from`.
    train, test : Showers of the changed calorimeter; the test file has repeats.
    folder : Folder for samples, runs and tables.
    showers : Numbers of showers.
    draws : Samples of each size; each is trained on with its own seed.
    config : Configuration of the fine-tuning.
    overrides, unset : For all trainings, see `zdc_training.config.config.load_config`.
    device : Name of the torch device.
    repeats, resamples : Of the evaluations, see `zdc_training.evaluation.evaluate.evaluate_model`.
    """

    source: Path
    train: Path
    test: Path
    folder: Path
    showers: Sequence[int] = SHOWERS
    draws: int = 1
    config: str = "few-showers"
    overrides: Sequence[str] = ()
    unset: Sequence[str] = ()
    device: str = "cpu"
    repeats: int = REPEATS
    resamples: int = 200

    def sample(self, showers: int, draw: int) -> Path:
        """The file of a sample."""
        return self.folder / f"showers-{showers}-{draw}.h5"

    def run(self, training: str, showers: int, draw: int) -> Run:
        """The run of a training with a sample."""
        return Run(self.folder / f"{'tuned' if training == TUNED else 'scratch'}-{showers}-{draw}")

    def tuned_config(self, showers: int, draw: int) -> Experiment:
        """The configuration of the fine-tuning with a sample."""
        files = {"data.train": self.sample(showers, draw), "data.test": self.test, "start_from": self.source}
        own = [f'{key}="{path}"' for key, path in files.items()]
        return load_config(self.config, [*own, f"seed={draw}", *self.overrides], self.unset)

    def scratch_config(self, showers: int, draw: int, theirs: Experiment) -> Experiment:
        """The same networks from random weights, with the source's optimiser and as many steps as they need.

        Parameters
        ----------
        theirs : Configuration of the source.
        """
        tuned = self.tuned_config(showers, draw)
        size = tuned.optimiser.batch_size
        training = showers - round(showers * tuned.data.validation_share)
        epochs = max(theirs.optimiser.epochs, math.ceil(_SCRATCH_STEPS / max(training // size, 1)))
        warmup = round(epochs * theirs.optimiser.warmup_epochs / theirs.optimiser.epochs)
        optimiser = theirs.optimiser.model_dump(mode="json", exclude_none=True)
        optimiser |= {"batch_size": size, "epochs": epochs, "warmup_epochs": warmup}
        keys = [f"optimiser.{key}={value}" for key, value in optimiser.items()]
        keys += ["keep=best", f"validate_every={math.ceil(epochs / _VALIDATIONS)}"]
        begun = override_config(tuned, keys, ["start_from", "optimiser.patience"])
        return override_config(begun, self.overrides, self.unset)


@dataclass(frozen=True)
class Result:
    """The evaluation of one model.

    Attributes
    ----------
    showers : Number of showers of the changed calorimeter that it needed, validation included.
    training : `SOURCE`, `SCRATCH` or `TUNED`.
    draw : Number of the sample; 0 for the source.
    seconds : Time of all epochs.
    """

    showers: int
    training: str
    draw: int
    report: Report
    seconds: float


def compare_few_showers(job: FewShowers) -> list[Result]:
    """Train and evaluate what is missing, with progress on stderr; returns all results, the source first.

    An interrupted run continues from its last finished epoch. All settings are checked before the first training.

    Raises
    ------
    ConfigError : a file has too few showers, the test file has no repeats or particles that were trained on, a key is
        wrong, or the folder has results of other files or of another model.
    FileFormatError, TrainingError : see `zdc_training.loop.fit.fit`.
    """
    source = open_source(job.source)
    _check(job)
    _check_same(job, source.spec.sha256)
    write_samples(job)
    plan = []
    for draw in range(1, job.draws + 1):
        for showers in job.showers:
            plan.append((SCRATCH, showers, draw, job.scratch_config(showers, draw, source.config)))
            plan.append((TUNED, showers, draw, job.tuned_config(showers, draw)))
    steps = []
    for training, showers, draw, config in plan:
        available = len(load_split(config.data)[0])
        if training == TUNED:
            check_keys(source, config)
        check_settings(config, available, open_device(job.device))
        job.run(training, showers, draw).check(config, True)
        steps.append(config.optimiser.epochs * (available // config.optimiser.batch_size) + _EVALUATION)
    results, clock = [_source_result(job)], _Clock(steps)
    for number, (training, showers, draw, config) in enumerate(plan):
        print(f"model {number + 1} of {len(plan)}: {showers} showers, sample {draw}, {training}{clock.left(number)}",
              file=sys.stderr, flush=True)  # fmt: skip
        run = job.run(training, showers, draw)
        finished = run.metrics.is_file()
        report = trained_and_evaluated(config, run, job.device, job.repeats, job.resamples)
        seconds = sum(record["seconds"] for record in run.records())
        results.append(Result(showers, training, draw, report, seconds))
        if finished:
            clock.skip(number)
    return results


class _Clock:
    """The remaining time, from the time of the steps so far."""

    def __init__(self, steps: Sequence[int]) -> None:
        self._steps = steps
        self._skipped = 0
        self._started = time.monotonic()

    def skip(self, number: int) -> None:
        """Leave out a model that was finished before."""
        self._skipped += self._steps[number]
        self._started = time.monotonic() if self._skipped == sum(self._steps[: number + 1]) else self._started

    def left(self, number: int) -> str:
        done = sum(self._steps[:number]) - self._skipped
        if done <= 0:
            return ""
        seconds = (time.monotonic() - self._started) / done * sum(self._steps[number:])
        return f"; ETA of all {timedelta(seconds=round(seconds))}"


def _check(job: FewShowers) -> None:
    repeats = even_repeats(read_showers(job.test), 1)[0].responses.shape[1]
    if repeats < 2:
        raise ConfigError(
            f"{job.test} has {repeats} simulation of each particle: a floor needs at least two, better four; name "
            "another file with --test"
        )
    check_unseen(job.train, job.test)
    available = len(read_showers(job.train))
    most = max(job.showers)
    if most > available:
        raise ConfigError(f"{job.train} has {available} showers, {most} are asked for; name fewer with --showers")


def _check_same(job: FewShowers, source: str) -> None:
    """Raise ConfigError if the folder belongs to another comparison; else note its inputs there."""
    text = f"train {sha256_of(job.train)}\ntest {sha256_of(job.test)}\nsource {source}\n"
    path = job.folder / _INPUTS_FILE
    if path.is_file() and path.read_text() != text:
        raise ConfigError(
            f"{job.folder} has results of other showers or of another model (see {path.name}); choose another --output"
        )
    job.folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)


def write_samples(job: FewShowers) -> None:
    """Write the files of the samples that are missing."""
    showers = read_showers(job.train)
    with h5py.File(job.train, "r") as file:
        attributes = file_attributes(file)
    for draw in range(1, job.draws + 1):
        order = _drawn(showers, draw)
        for number in job.showers:
            path = job.sample(number, draw)
            if not path.is_file():
                sample = f"{number} showers of {job.train.name}, sample {draw}"
                write_part(path, showers[np.sort(order[:number])], {**attributes, "sample": sample})


def _drawn(showers: Showers, draw: int) -> "np.ndarray[tuple[int], np.dtype[np.intp]]":
    """The rows in the order in which samples take them: particles at random, the showers of one together."""
    ids, particle = np.unique(same_particles(showers), return_inverse=True)
    place = raw_words(_SEED + draw, SPLIT_STREAM, 0, len(ids), 1)[:, 0]
    return np.argsort(place[np.ravel(particle)], kind="stable")


def _source_result(job: FewShowers) -> Result:
    folder = job.folder / "source"
    if not (folder / METRICS_FILE).is_file():
        print("evaluating the source", file=sys.stderr, flush=True)
        subject = open_subject(open_source(job.source).folder, job.test)
        evaluate_model(subject, folder, repeats=job.repeats, resamples=job.resamples)
    return Result(0, SOURCE, 0, read_report(folder / METRICS_FILE), 0.0)


def groups(results: Sequence[Result]) -> Iterator[list[Result]]:
    """The results of each number of showers and training, in their order of appearance."""
    for key in dict.fromkeys((each.showers, each.training) for each in results):
        yield [each for each in results if (each.showers, each.training) == key]
