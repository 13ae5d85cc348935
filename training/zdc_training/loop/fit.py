"""The training loop: seeded, resumable after every epoch, with every loss term logged."""

import math
import time
from collections import defaultdict
from contextlib import nullcontext
from typing import Any, Protocol

import torch
from torch.utils.tensorboard import SummaryWriter
from zdc_common.errors import ConfigError
from zdc_common.words import counted
from zdc_detector.showers import Showers

from zdc_training.config.sections import Experiment
from zdc_training.data.datasets import load_split
from zdc_training.data.oddities import data_warnings
from zdc_training.evaluation.validation import doubts, response_strip, validate
from zdc_training.loop.steps import GRADIENT_NORM, Draws, Training, learning_rate
from zdc_training.nn.distributed import first_process, from_first, joined, local_device, planned_processes, wait_for_all
from zdc_training.runs.checkpoints import load_state, save_state
from zdc_training.runs.fine_tuning import begin_with
from zdc_training.runs.provenance import located, record_session
from zdc_training.runs.run import Run
from zdc_training.runs.run_lock import check_free, locked
from zdc_training.runs.source import Source, open_source


class Reporter(Protocol):
    """Shows the progress of a run: a progress bar, lines of text."""

    def step(self, epoch: int, step: int, steps: int, terms: dict[str, float]) -> None:
        """Called after every optimiser step."""

    def epoch(self, record: dict[str, float]) -> None:
        """Called after every epoch with its log record."""

    def warn(self, text: str) -> None:
        """Show a warning; the run continues."""

    def say(self, text: str) -> None:
        """Show a message."""


def fit(config: Experiment, run: Run, resume: bool, reporter: Reporter, device: str = "cpu") -> None:
    """Train for the configured number of epochs.

    Each epoch draws its order, symmetries and noise from (seed, epoch). So a resumed run gives the same result as an
    uninterrupted one, bit for bit on the CPU of one machine with the same number of threads.

    With `torchrun`, the processes share each batch; process 0 validates, writes and reports. All processes need the
    same file system. Loss and gradients of a step equal those of a single process, except for rounding errors, which
    grow with the number of steps; methods that draw Poisson counts (`fast`, `dcgan`) draw other counts.

    Parameters
    ----------
    config : When a run is resumed, all keys may change except `zdc_training.config.config.FIXED`.
    run : Folder for all files. A new best model removes the figures of merit of the former one.
    resume : Continue from the last finished epoch; without one, begin.

    Raises
    ------
    ConfigError : another process trains in the folder, it already has a run and `resume` is false, a resumed run
        cannot continue with `config`, its checkpoint is damaged or of another version, the training file has changed
        since the run began, a setting does not fit the data, or there is no such device.
    FileFormatError : the training file cannot be read.
    OSError : a file cannot be written; the last finished epoch is kept.
    TrainingError : a loss term, the gradient or a validation figure is not finite, or the weights have diverged; the
        last finished epoch is kept.
    """
    first = first_process()
    if first:
        check_free(run.folder)
    run.check(config, resume)
    place = open_device(local_device(device))
    data = located(run, config.data)
    showers, validation = load_split(data)
    check_settings(config, len(showers), place)
    # Process 0 locks the folder before the others wait for it, so only one process reports a refusal.
    with locked(run.folder) if first else nullcontext(), joined(place):
        run.check(config, resume)  # again: another process may have written before this one had the lock
        training = Training.begin(config, showers, place)
        source = None
        if resume and run.checkpoint.is_file():
            with run.fitting(run.checkpoint):
                training.restore(load_state(run.checkpoint))
        else:
            source = _begin(training, showers, reporter)
        wait_for_all()  # all processes read before process 0 writes
        if not first:
            while not training.finished:
                _epoch(training, len(showers), None)
                _agree(training)
            return
        with run.writing():
            run.begin(config, training.epoch)
            run.truncate_log(training.epoch)
            if not training.finished:
                spec = None if source is None else source.spec
                record_session(run, config, data, (showers, validation), place, training.epoch, spec)
            with SummaryWriter(str(run.folder / "tensorboard"), purge_step=training.epoch + 1) as writer:
                while not training.finished:
                    started = time.monotonic()
                    record = _epoch(training, len(showers), reporter)
                    if _validates(training):
                        record |= _validated(training, run, validation, reporter)
                    record["seconds"] = time.monotonic() - started
                    run.log_epoch(record, writer)
                    if _validates(training):
                        picture = response_strip(training.kept, validation, config.output.finish)
                        writer.add_image("responses", picture, training.epoch, dataformats="HW")
                    save_state(run.checkpoint, training.state(), keep_former=True)
                    reporter.epoch(record)
                    _agree(training)
        if not training.patient:
            waited = counted(training.waited, "validation")
            reporter.say(f"stopped after epoch {training.epoch}: no smaller CRPS in {waited} (optimiser.patience)")


def _begin(training: Training, showers: Showers, reporter: Reporter) -> Source | None:
    """Warn of problems in the data of a new training, and load its initial weights; returns the model they are of."""
    config = training.config
    particles = showers.particles
    texts = data_warnings(
        particles.conditions,
        particles.pdg,
        showers.responses,
        showers.calorimeter,
        species=config.species,
        configuration=config.output.name,
    )
    source = None if config.start_from is None else open_source(config.start_from)
    if source is not None:
        beginning = begin_with(source, config, training.learner.model, showers)
        if training.average is not None:
            training.average.load_state_dict(training.learner.model.state_dict())
        if beginning.untrained:
            texts.append(
                f"{source.spec} has no weights of the {' and '.join(beginning.untrained)}, which begins untrained; if "
                "the first validations are worse than the model's, lower optimiser.learning_rate to change it less"
            )
        if first_process():
            reporter.say(f"fine-tuning {source.spec}; its light is scaled by {beginning.light:.3g} to that of the "
                         "training showers")  # fmt: skip
    if first_process():
        for text in texts:
            reporter.warn(text)
    return source


def _validates(training: Training) -> bool:
    """Whether a validation follows the epoch that just ended."""
    config = training.config
    return training.epoch % config.validate_every == 0 or training.epoch == config.optimiser.epochs


def _agree(training: Training) -> None:
    """Send the validation result of process 0 to all processes, so that they stop after the same epoch."""
    if _validates(training):
        training.waited = int(from_first(training.waited, training.device))


def open_device(name: str) -> torch.device:
    """The torch device of a name.

    Raises
    ------
    ConfigError : there is no such device.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"device {name!r}: {reason}; use cpu, or a torch that was built for it") from error
    return device


def check_settings(config: Experiment, showers: int, device: torch.device) -> None:
    """Raise ConfigError if settings do not fit the number of training showers, the processes or the device."""
    size = config.optimiser.batch_size
    if showers < size:
        raise ConfigError(f"optimiser.batch_size = {size} is above the {showers} training showers; lower it")
    if size % planned_processes():
        raise ConfigError(
            f"optimiser.batch_size = {size} cannot be shared by {planned_processes()} processes; take a multiple"
        )
    if config.precision != "float32" and device.type == "cpu":
        raise ConfigError(
            f"optimiser.precision = {config.precision!r} is for GPUs, and slower than float32 on a CPU; leave "
            "it out, or train with --device cuda"
        )


def _epoch(training: Training, showers: int, reporter: Reporter | None) -> dict[str, float]:
    """One pass over the training showers; returns the mean of each loss term."""
    training.learner.model.train()
    optimiser, epoch = training.config.optimiser, training.epoch
    draws = Draws.of_epoch(training.config.seed, epoch, training.device)
    size = optimiser.batch_size
    order = draws.rng.permutation(showers)
    steps = showers // size
    sums: defaultdict[str, float] = defaultdict(float)
    started = time.monotonic()
    for step in range(steps):
        rate = learning_rate(optimiser, epoch + step / steps)
        values = training.step(order[step * size : (step + 1) * size], draws, rate)
        for name, value in values.items():
            sums[name] += value
        if reporter is not None:
            reporter.step(epoch + 1, step + 1, steps, values)
    training.epoch += 1
    norms = {name: sums.pop(name) / steps for name in list(sums) if name.startswith(GRADIENT_NORM)}
    means = {f"loss/{name}": summed / steps for name, summed in sums.items()} | norms
    seconds = time.monotonic() - started
    return {"epoch": training.epoch, "learning_rate": rate, "steps_per_second": steps / seconds, **means}


def _validated(training: Training, run: Run, validation: Showers, reporter: Reporter) -> dict[str, float]:
    """Validation figures of the kept weights, which are saved if they are the best."""
    config = training.config
    with training.computing():
        figures = validate(training.kept, training.learner, validation, config)
    for name, value in figures.items():
        if not math.isfinite(value):
            raise training.failure(f"the validation's {name} is {value}")
    for warning in doubts(config, figures):
        reporter.warn(f"epoch {training.epoch}: {warning}")
    better = figures["crps"] < training.best
    training.waited = 0 if better else training.waited + 1
    if config.keep == "last" or better:
        training.best = min(training.best, figures["crps"])
        run.metrics.unlink(missing_ok=True)
        save_state(run.best, _best(training, validation))
    return {f"validation/{name}": value for name, value in figures.items()}


def _best(training: Training, showers: Showers) -> dict[str, Any]:
    calorimeter = showers.calorimeter.model_dump(mode="json")
    return {"model": training.kept.state_dict(), "epoch": training.epoch, "calorimeter": calorimeter}
