"""The training loop: seeded, resumable after any epoch, with every loss term in sight."""

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
from zdc_training.runs.provenance import located, record_session
from zdc_training.runs.run import Run
from zdc_training.runs.run_lock import check_free, locked
from zdc_training.runs.warm_start import start_from


class Reporter(Protocol):
    """What follows a run: a progress bar, lines of text."""

    def step(self, epoch: int, step: int, steps: int, terms: dict[str, float]) -> None:
        """After every optimiser step."""

    def epoch(self, record: dict[str, float]) -> None:
        """After every epoch, with everything logged for it."""

    def warn(self, text: str) -> None:
        """Something that the run goes on in spite of."""

    def say(self, text: str) -> None:
        """Something to know."""


def fit(config: Experiment, run: Run, resume: bool, reporter: Reporter, device: str = "cpu") -> None:
    """Train until the configured number of epochs.

    Every epoch draws its order, symmetries and noise from (seed, epoch), so a resumed run continues as if it
    had never stopped (to the bit on the CPU of one machine with one number of threads).

    Under `torchrun` the processes share each batch, and the first one validates, writes and reports. They need one
    file system. Loss and gradients of a step are those of one process, to rounding, which grows from step to step;
    methods that draw Poisson counts (`fast`, `dcgan`) draw others.

    Parameters
    ----------
    config : Of a resumed run it may differ from the former one in all but `zdc_training.config.config.FIXED`.
    run : Where everything is written. A new best model removes the figures of the former one.
    resume : Go on from the last finished epoch, or begin where there is none.

    Raises
    ------
    ConfigError : another process trains in the folder, it already holds a run and `resume` is false, a resumed run
        cannot go on with `config`, its checkpoint is damaged or another version's, the training file has changed since
        the run began, a setting does not fit the data, or there is no such device.
    FileFormatError : the training file cannot be read.
    OSError : something cannot be written; the last finished epoch is kept.
    TrainingError : a loss term, the gradient or a validation figure is not finite, or weights have run away; the last
        finished epoch is kept.
    """
    first = first_process()
    if first:
        check_free(run.folder)
    run.check(config, resume)
    place = open_device(local_device(device))
    data = located(run, config.data)
    showers, validation = load_split(data)
    check_settings(config, len(showers), place)
    # The first process alone holds the folder, before the others wait for it: a refusal is one process's.
    with locked(run.folder) if first else nullcontext(), joined(place):
        run.check(config, resume)  # again: what it found may have changed before the lock was ours
        training = Training.begin(config, showers, place)
        if resume and run.checkpoint.is_file():
            with run.fitting(run.checkpoint):
                training.restore(load_state(run.checkpoint))
        else:
            _begin(training, showers, reporter)
        wait_for_all()  # nobody writes before all have read
        if not first:
            while not training.finished:
                _epoch(training, len(showers), None)
                _agree(training)
            return
        with run.writing():
            run.begin(config, training.epoch)
            run.truncate_log(training.epoch)
            if not training.finished:
                record_session(run, config, data, (showers, validation), place, training.epoch)
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


def _begin(training: Training, showers: Showers, reporter: Reporter) -> None:
    """Say what may spoil a training that begins, and take the weights that it begins with."""
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
    if config.start_from is not None:
        untrained = start_from(config.start_from, config, training.learner.model, showers)
        if training.average is not None:
            training.average.load_state_dict(training.learner.model.state_dict())
        if untrained:
            texts.append(
                f"{config.start_from} has no weights of the {' and '.join(untrained)}, which begins untrained; where "
                "the first validations are worse than the model's, a lower optimiser.learning_rate keeps more of it"
            )
    if first_process():
        for text in texts:
            reporter.warn(text)


def _validates(training: Training) -> bool:
    """Whether the epoch that just ended is one of those that are followed by a validation."""
    config = training.config
    return training.epoch % config.validate_every == 0 or training.epoch == config.optimiser.epochs


def _agree(training: Training) -> None:
    """What the first process found of the validation, in all processes: they stop after the same epoch."""
    if _validates(training):
        training.waited = int(from_first(training.waited, training.device))


def open_device(name: str) -> torch.device:
    """The torch device of that name.

    Raises
    ------
    ConfigError : there is none.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"device {name!r}: {reason}; use cpu, or a torch that was built for it") from error
    return device


def check_settings(config: Experiment, showers: int, device: torch.device) -> None:
    """Raise ConfigError if settings do not fit so many training showers, the processes or the device."""
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
    """Figures of what is kept, which is saved if it is the best."""
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
