"""The training loop: seeded, resumable after any epoch, with every loss term in sight."""

import copy
import math
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter
from zdc_detector.errors import ConfigError, TrainingError
from zdc_detector.showers import Showers
from zdc_metrics import channel_wasserstein, empty_share, fair_crps, mean_absolute_error
from zdc_metrics.distances import crps_floor

from zdc_training.config import AnyConfig
from zdc_training.data import load_split
from zdc_training.generate import generate, network
from zdc_training.learner import Generator, Learner, ObjectiveTerms, Player
from zdc_training.methods import build_learner
from zdc_training.run import Run
from zdc_training.sections import OptimiserConfig

_VALIDATION_SEED = 20_201  # the same noise at every validation, so that epochs compare
_VALIDATION_REPEATS = 4


class Reporter(Protocol):
    """What follows a run: a progress bar, lines of text."""

    def step(self, epoch: int, step: int, steps: int, terms: dict[str, float]) -> None:
        """After every optimiser step."""

    def epoch(self, record: dict[str, float]) -> None:
        """After every epoch, with everything logged for it."""


@dataclass
class _State:
    learner: Learner
    optimisers: list[torch.optim.Optimizer]  # one for each player
    average: Generator | None
    steps: int = 0
    epoch: int = 0
    best: float = math.inf

    @property
    def kept(self) -> Generator:
        """What is validated and exported: the average of the weights where there is one."""
        return self.average or self.learner.model


def learning_rate(config: OptimiserConfig, epoch: float) -> float:
    """Linear warm-up, then a cosine from the first to `final_share` of it; `epoch` counts fractions."""
    if epoch < config.warmup_epochs:
        return config.learning_rate * (epoch + 1e-3) / config.warmup_epochs
    span = max(config.epochs - config.warmup_epochs, 1)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, (epoch - config.warmup_epochs) / span)))
    return config.learning_rate * (config.final_share + (1 - config.final_share) * cosine)


def fit(config: AnyConfig, run: Run, resume: bool, reporter: Reporter, device: str = "cpu") -> None:
    """Train until the configured number of epochs.

    Every epoch draws its order, symmetries and noise from (seed, epoch), so a resumed run continues as if it
    had never stopped (to the bit on the CPU of one machine with one number of threads).

    Parameters
    ----------
    config : Of a resumed run it may differ from the former one in all but `zdc_training.config.FIXED`.
    run : Where everything is written. A new best model removes the figures of the former one.
    resume : Go on from the last finished epoch, or begin where there is none.

    Raises
    ------
    ConfigError : the folder already holds a run and `resume` is false, a resumed run cannot go on with `config`, a
        setting does not fit the data, or there is no such device.
    FileFormatError : the training file cannot be read.
    TrainingError : a loss term or the gradient is not finite.
    """
    run.check(config, resume)
    place = open_device(device)
    training, validation = load_split(config.data)
    if len(training) < config.optimiser.batch_size:
        raise ConfigError(
            f"optimiser.batch_size = {config.optimiser.batch_size} is above the {len(training)} training showers; "
            "lower it"
        )
    state = _build(config, training, place)
    if resume and run.checkpoint.is_file():
        _restore(state, run)
    run.begin(config, state.epoch)
    run.truncate_log(state.epoch)
    with SummaryWriter(str(run.folder / "tensorboard"), purge_step=state.epoch + 1) as writer:
        while state.epoch < config.optimiser.epochs:
            started = time.monotonic()
            record: dict[str, float] = {"epoch": state.epoch + 1, **_epoch(config, state, training, reporter)}
            state.epoch += 1
            if state.epoch % config.validate_every == 0 or state.epoch == config.optimiser.epochs:
                record |= {
                    f"validation/{k}": v for k, v in validate(state.kept, state.learner, validation, config).items()
                }
                if config.keep == "last" or record["validation/crps"] < state.best:
                    state.best = min(state.best, record["validation/crps"])
                    run.metrics.unlink(missing_ok=True)
                    run.save(run.best, _best(state, training))
            record["seconds"] = time.monotonic() - started
            run.log_epoch(record, writer)
            run.save(run.checkpoint, _checkpoint(state))
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


def _build(config: AnyConfig, training: Showers, device: torch.device) -> _State:
    learner, optimiser = build_learner(config, training, device), config.optimiser

    def adam(player: Player) -> torch.optim.Optimizer:
        betas = (player.momentum, 0.999)
        return torch.optim.AdamW(player.parameters, optimiser.learning_rate, betas, weight_decay=optimiser.weight_decay)

    average = copy.deepcopy(learner.model).eval().requires_grad_(False) if optimiser.average else None
    return _State(learner, [adam(player) for player in learner.players], average)


def _best(state: _State, training: Showers) -> dict[str, Any]:
    calorimeter = training.calorimeter.model_dump(mode="json")
    return {"model": state.kept.state_dict(), "epoch": state.epoch, "calorimeter": calorimeter}


def _checkpoint(state: _State) -> dict[str, Any]:
    return {
        "model": state.learner.model.state_dict(),
        "average": state.average.state_dict() if state.average else None,
        "optimisers": [optimiser.state_dict() for optimiser in state.optimisers],
        "steps": state.steps,
        "epoch": state.epoch,
        "best": state.best,
    }


def _restore(state: _State, run: Run) -> None:
    saved = run.load(run.checkpoint)
    state.learner.model.load_state_dict(saved["model"])
    if state.average is not None:
        # A run that began without an average takes one up from the weights that it has reached.
        state.average.load_state_dict(saved.get("average") or saved["model"])
    for optimiser, held in zip(state.optimisers, saved["optimisers"], strict=True):
        optimiser.load_state_dict(held)
    state.steps, state.epoch, state.best = saved.get("steps", 0), saved["epoch"], saved["best"]


def _epoch(config: AnyConfig, state: _State, training: Showers, reporter: Reporter) -> dict[str, float]:
    """One pass over the training showers; returns the mean of each loss term."""
    learner = state.learner
    learner.model.train()
    rng = np.random.default_rng([config.seed, state.epoch])
    device = next(learner.model.parameters()).device
    noise = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
    size = config.optimiser.batch_size
    order = rng.permutation(len(training))
    steps = len(order) // size
    sums: defaultdict[str, float] = defaultdict(float)
    for step in range(steps):
        rate = learning_rate(config.optimiser, state.epoch + step / steps)
        turns = learner.turns(order[step * size : (step + 1) * size], rng, noise)
        values: dict[str, float] = {}
        for player, optimiser in zip(learner.players, state.optimisers, strict=True):
            for group in optimiser.param_groups:
                group |= {"lr": rate * player.rate, "weight_decay": config.optimiser.weight_decay}
            values |= _move(player, optimiser, next(turns), config.optimiser, state.epoch * steps + step + 1)
        for _ in turns:
            raise AssertionError("more turns than players")
        _move_average(state, config.optimiser.average)
        for name, value in values.items():
            sums[name] += value
        reporter.step(state.epoch + 1, step + 1, steps, values)
    return {"learning_rate": rate, **{f"loss/{name}": total / steps for name, total in sums.items()}}


def _move(
    player: Player, optimiser: torch.optim.Optimizer, terms: ObjectiveTerms, config: OptimiserConfig, step: int
) -> dict[str, float]:
    """One step of one player; returns the terms of its loss."""
    values = dict(zip(terms, torch.stack([term.detach() for term in terms.values()]).tolist(), strict=True))
    for name, value in values.items():
        _check_finite(f"{name} term", value, step)
    optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(terms.total())
    norm = nn.utils.clip_grad_norm_(player.parameters, config.clip_gradient)
    # Before the step: a checkpoint never holds weights that cannot be resumed from.
    _check_finite("norm of the gradient", float(norm), step)
    optimiser.step()
    return values


@torch.no_grad()
def _move_average(state: _State, decay: float) -> None:
    """One step of the running average, which forgets faster at the start; statistics of normalisations are copied."""
    state.steps += 1
    if state.average is None:
        return
    share = 1.0 - min(decay, (1 + state.steps) / (10 + state.steps))
    model = state.learner.model
    for mean, weight in zip(state.average.parameters(), model.parameters(), strict=True):
        mean.lerp_(weight, share)
    for kept, buffer in zip(state.average.buffers(), model.buffers(), strict=True):
        kept.copy_(buffer)


def _check_finite(name: str, value: float, step: int) -> None:
    if not math.isfinite(value):
        raise TrainingError(
            f"step {step}: the {name} is {value}; go on from the last finished epoch with --resume and "
            "--set optimiser.learning_rate=... (lower), --set optimiser.clip_gradient=... (lower) or "
            "--set loss.blur=... (higher)"
        )


@torch.no_grad()
def validate(model: Generator, learner: Learner, showers: Showers, config: AnyConfig) -> dict[str, float]:
    """Figures on showers that were not trained on, each simulated once, against four generated responses.

    The method adds what it alone can say: ``reconstruction`` is the weighted term of the objective, as in training.
    ``crps_of_model`` is what the CRPS would be if the generated responses were the truth: below ``crps`` where they
    miss it or spread too little.
    """
    model.eval()
    calorimeter = showers.calorimeter
    generated = generate(network(model), showers.particles, _VALIDATION_REPEATS, _VALIDATION_SEED, config.output.finish)
    flat = generated.reshape(-1, *calorimeter.shape)
    sums = calorimeter.channel_sums(flat).reshape(len(showers), _VALIDATION_REPEATS, -1)
    truth = calorimeter.channel_sums(showers.responses)
    return {
        "crps": float(fair_crps(truth[:, None], sums).mean()),
        "crps_of_model": float(crps_floor(sums).mean()),
        "mae": mean_absolute_error(truth[:, None], sums),
        "wasserstein": float(np.mean([channel_wasserstein(truth, sums[:, i]) for i in range(_VALIDATION_REPEATS)])),
        "photon_sum_ratio": float(
            sums.sum(dtype=np.float64) / _VALIDATION_REPEATS / max(truth.sum(dtype=np.float64), 1)
        ),
        "empty_share": empty_share(sums.sum(axis=-1)),
        **learner.figures(model, showers),
    }
