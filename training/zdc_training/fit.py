"""The training loop: seeded, resumable after any epoch, with every loss term in sight."""

import time
from collections import defaultdict
from typing import Any, Protocol

import torch
from torch.utils.tensorboard import SummaryWriter
from zdc_detector.errors import ConfigError
from zdc_detector.showers import Showers

from zdc_training.config import AnyConfig
from zdc_training.data import load_split
from zdc_training.distributed import joined, local_device, processes, rank, wait_for_all
from zdc_training.run import Run
from zdc_training.steps import Draws, Training, learning_rate
from zdc_training.validation import blindness, validate


class Reporter(Protocol):
    """What follows a run: a progress bar, lines of text."""

    def step(self, epoch: int, step: int, steps: int, terms: dict[str, float]) -> None:
        """After every optimiser step."""

    def epoch(self, record: dict[str, float]) -> None:
        """After every epoch, with everything logged for it."""

    def warn(self, text: str) -> None:
        """Something that the run goes on in spite of."""


def fit(config: AnyConfig, run: Run, resume: bool, reporter: Reporter, device: str = "cpu") -> None:
    """Train until the configured number of epochs.

    Every epoch draws its order, symmetries and noise from (seed, epoch), so a resumed run continues as if it
    had never stopped (to the bit on the CPU of one machine with one number of threads).

    Under `torchrun` the processes share each batch, and the first one validates, writes and reports. They need one
    file system. Loss and gradients are those of one process, to rounding; methods that draw Poisson counts (`fast`,
    `dcgan`) draw others.

    Parameters
    ----------
    config : Of a resumed run it may differ from the former one in all but `zdc_training.config.FIXED`.
    run : Where everything is written. A new best model removes the figures of the former one.
    resume : Go on from the last finished epoch, or begin where there is none.

    Raises
    ------
    ConfigError : the folder already holds a run and `resume` is false, a resumed run cannot go on with `config`, its
        checkpoint is damaged or another version's, a setting does not fit the data, or there is no such device.
    FileFormatError : the training file cannot be read.
    TrainingError : a loss term or the gradient is not finite; the last finished epoch is kept.
    """
    run.check(config, resume)
    place = open_device(local_device(device))
    showers, validation = load_split(config.data)
    with joined(place):
        _check_batch(config, len(showers))
        training = Training.begin(config, showers, place)
        if resume and run.checkpoint.is_file():
            with run.fitting(run.checkpoint):
                training.restore(run.load(run.checkpoint))
        wait_for_all()  # nobody writes before all have read
        if rank() > 0:
            while training.epoch < config.optimiser.epochs:
                _epoch(training, len(showers), None)
            return
        run.begin(config, training.epoch)
        run.truncate_log(training.epoch)
        with SummaryWriter(str(run.folder / "tensorboard"), purge_step=training.epoch + 1) as writer:
            while training.epoch < config.optimiser.epochs:
                started = time.monotonic()
                record = _epoch(training, len(showers), reporter)
                if training.epoch % config.validate_every == 0 or training.epoch == config.optimiser.epochs:
                    record |= _validated(training, run, validation, reporter)
                record["seconds"] = time.monotonic() - started
                run.log_epoch(record, writer)
                run.save(run.checkpoint, training.state())
                reporter.epoch(record)


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


def _check_batch(config: AnyConfig, showers: int) -> None:
    size = config.optimiser.batch_size
    if showers < size:
        raise ConfigError(f"optimiser.batch_size = {size} is above the {showers} training showers; lower it")
    if size % processes():
        raise ConfigError(f"optimiser.batch_size = {size} cannot be shared by {processes()} processes; take a multiple")


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
    means = {f"loss/{name}": summed / steps for name, summed in sums.items()}
    seconds = time.monotonic() - started
    return {"epoch": training.epoch, "learning_rate": rate, "steps_per_second": steps / seconds, **means}


def _validated(training: Training, run: Run, validation: Showers, reporter: Reporter) -> dict[str, float]:
    """Figures of what is kept, which is saved if it is the best."""
    config = training.config
    figures = validate(training.kept, training.learner, validation, config)
    warning = blindness(config, figures)
    if warning:
        reporter.warn(f"epoch {training.epoch}: {warning}")
    if config.keep == "last" or figures["crps"] < training.best:
        training.best = min(training.best, figures["crps"])
        run.metrics.unlink(missing_ok=True)
        run.save(run.best, _best(training, validation))
    return {f"validation/{name}": value for name, value in figures.items()}


def _best(training: Training, showers: Showers) -> dict[str, Any]:
    calorimeter = showers.calorimeter.model_dump(mode="json")
    return {"model": training.kept.state_dict(), "epoch": training.epoch, "calorimeter": calorimeter}
