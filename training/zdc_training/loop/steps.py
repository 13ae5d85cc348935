"""One step of the training loop: the turn of every player, checked before its weights change."""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.profiler import record_function
from zdc_common.errors import TrainingError
from zdc_detector.showers import Showers

from zdc_training.config.sections import Experiment, OptimiserConfig
from zdc_training.nn.distributed import processes, total
from zdc_training.nn.learner import Generator, Learner, ObjectiveTerms, Player
from zdc_training.nn.method import build_learner

#: Log name of the norm of the unclipped gradient of the first player; other players have a number as suffix.
GRADIENT_NORM = "gradient_norm"
#: Weights above this size mean that the training has diverged.
_RUNAWAY = 1e3
_MOST = 80  # characters of another library's message


@dataclass(frozen=True)
class Draws:
    """The sources of random numbers of an epoch."""

    rng: np.random.Generator
    noise: torch.Generator

    @classmethod
    def of_epoch(cls, seed: int, epoch: int, device: torch.device) -> "Draws":
        """Sources seeded by the seed and the number of earlier epochs, so that a resumed run draws the same numbers."""
        rng = np.random.default_rng([seed, epoch])
        return cls(rng, torch.Generator(device).manual_seed(int(rng.integers(2**62))))

    def copy(self) -> "Draws":
        """A copy that draws the same numbers."""
        noise = torch.Generator(self.noise.device)
        noise.set_state(self.noise.get_state())
        return Draws(copy.deepcopy(self.rng), noise)


@dataclass
class Training:
    """The state of a training: learner, optimisers, average and counters."""

    config: Experiment
    learner: Learner[Any]
    optimisers: list[torch.optim.Optimizer]  # one for each player
    average: Generator | None
    steps: int = 0
    epoch: int = 0
    best: float = math.inf
    waited: int = 0  # validations since the best one

    @classmethod
    def begin(cls, config: Experiment, training: Showers, device: torch.device) -> "Training":
        """Untrained networks with new optimisers."""
        learner, optimiser = build_learner(config, training, device), config.optimiser

        def adam(player: Player) -> torch.optim.Optimizer:
            betas, decay = (player.momentum, 0.999), optimiser.weight_decay
            return torch.optim.AdamW(player.parameters, optimiser.learning_rate, betas, weight_decay=decay)

        average = copy.deepcopy(learner.model).eval().requires_grad_(False) if optimiser.average else None
        return cls(config, learner, [adam(player) for player in learner.players], average)

    @property
    def kept(self) -> Generator:
        """The networks that are validated and exported: with averaged weights, if there is an average."""
        return self.average or self.learner.model

    @property
    def patient(self) -> bool:
        """Whether early stopping (`optimiser.patience`) lets the training continue."""
        patience = self.config.optimiser.patience
        return patience is None or self.waited < patience

    @property
    def finished(self) -> bool:
        """Whether the training ends here."""
        return self.epoch >= self.config.optimiser.epochs or not self.patient

    @property
    def device(self) -> torch.device:
        """The device of the networks."""
        device: torch.device = next(self.learner.model.parameters()).device
        return device

    def state(self) -> dict[str, Any]:
        """The content of a checkpoint."""
        return {
            "model": self.learner.model.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "steps": self.steps,
            "epoch": self.epoch,
            "best": self.best,
            "waited": self.waited,
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.learner.model.load_state_dict(saved["model"])
        if self.average is not None:
            # If the run began without an average, the average begins with the current weights.
            self.average.load_state_dict(saved["average"] or saved["model"])
        for optimiser, held in zip(self.optimisers, saved["optimisers"], strict=True):
            optimiser.load_state_dict(held)
        self.steps, self.epoch, self.best = saved["steps"], saved["epoch"], saved["best"]
        self.waited = saved.get("waited", 0)

    def step(self, rows: NDArray[np.intp], draws: Draws, rate: float) -> dict[str, float]:
        """Train every player once; returns loss terms, averaged over processes, and `GRADIENT_NORM`.

        Parameters
        ----------
        rows : Indices of the training showers of the whole batch.
        rate : Learning rate.

        Raises
        ------
        TrainingError : a term or a gradient is not finite (no weight has changed), or the weights are so large that
            a term cannot be computed.
        """
        with self.computing():
            return self._step(rows, draws, rate)

    def _step(self, rows: NDArray[np.intp], draws: Draws, rate: float) -> dict[str, float]:
        before = draws.copy()
        turns = self.learner.turns(rows, draws.rng, draws.noise)
        values: dict[str, float] = {}
        for turn, (player, optimiser) in enumerate(zip(self.learner.players, self.optimisers, strict=True)):
            for group in optimiser.param_groups:
                group |= {"lr": rate * player.rate, "weight_decay": self.config.optimiser.weight_decay}
            with record_function("step: forward"):
                terms = next(turns)
            optimiser.zero_grad(set_to_none=True)
            with record_function("step: backward"):
                torch.autograd.backward(terms.total())
            norm = nn.utils.clip_grad_norm_(player.parameters, self.config.optimiser.clip_gradient)
            # One transfer from the device, before weights change: a checkpoint never has weights that are not finite.
            with record_function("step: wait and check"):
                found = _on_cpu(terms, norm)
            for name, value in found.items():
                if not math.isfinite(value):
                    term = self._culprit(turn, rows, before) if name == GRADIENT_NORM else name
                    raise self.failure(f"the {term} term is {value}")
            values |= {
                name if turn == 0 or name != GRADIENT_NORM else f"{name}_{turn + 1}": found[name] for name in found
            }
            with record_function("step: optimiser"):
                optimiser.step()
        next(turns, None)
        self._move_average()
        return values

    def _culprit(self, turn: int, rows: NDArray[np.intp], before: Draws) -> str:
        """The name of the term with a gradient that is not finite; the weights of this turn have not changed."""
        turns = self.learner.turns(rows, before.rng, before.noise)
        terms = [next(turns) for _ in range(turn + 1)][-1]
        for name, term in terms.items():
            gradients = torch.autograd.grad(term, self.learner.players[turn].parameters, None, True, allow_unused=True)
            norms = [gradient.norm() for gradient in gradients if gradient is not None]
            if not torch.stack(norms).norm().isfinite():
                return f"gradient of the {name}"
        return "gradient of the summed"

    @contextmanager
    def computing(self) -> Iterator[None]:
        """A context that turns errors of libraries into a `TrainingError` if the weights have diverged."""
        try:
            yield
        except (RuntimeError, ValueError) as error:
            with torch.no_grad():
                largest = max(float(weights.abs().max()) for weights in self.learner.model.parameters())
            if largest < _RUNAWAY and self.config.optimiser.learning_rate < _RUNAWAY:
                raise
            reason = str(error).partition("\n")[0][:_MOST]
            raise self.failure(f"weights have diverged, up to {largest:.3g} ({reason})") from error

    def failure(self, what: str) -> TrainingError:
        """An error with epoch, step, reason and remedy."""
        keys = {"optimiser.learning_rate": "lower", "optimiser.clip_gradient": "lower"}
        if self.config.blur is not None:
            keys["loss.blur"] = "higher"
        remedies = " or ".join(f"--set {key}=... ({change})" for key, change in keys.items())
        kept = "continue from the last finished epoch" if self.epoch else "begin again"
        kept += " with --resume and"
        return TrainingError(f"epoch {self.epoch + 1}, step {self.steps + 1}: {what}; {kept} {remedies}")

    @torch.no_grad()
    def _move_average(self) -> None:
        """Update the running average; its decay is smaller in the first steps; buffers are copied."""
        self.steps += 1
        if self.average is None:
            return
        share = 1.0 - min(self.config.optimiser.average, (1 + self.steps) / (10 + self.steps))
        model = self.learner.model
        for mean, weight in zip(self.average.parameters(), model.parameters(), strict=True):
            mean.lerp_(weight, share)
        for kept, buffer in zip(self.average.buffers(), model.buffers(), strict=True):
            kept.copy_(buffer)


def _on_cpu(terms: ObjectiveTerms, norm: Tensor) -> dict[str, float]:
    """The terms, averaged over processes, and the norm of the gradient, which is equal in all processes."""
    numbers = torch.stack([*(term.detach() for term in terms.values()), norm.detach()])
    return dict(zip((*terms, GRADIENT_NORM), (total(numbers) / processes()).tolist(), strict=True))


def learning_rate(config: OptimiserConfig, epoch: float) -> float:
    """The learning rate: linear warm-up, then a decrease to `final_share` of the configured rate.

    Parameters
    ----------
    epoch : Number of finished epochs, with fraction.
    """
    if epoch < config.warmup_epochs:
        return config.learning_rate * (epoch + 1e-3) / config.warmup_epochs
    span = max(config.epochs - config.warmup_epochs, 1)
    done = min(1.0, (epoch - config.warmup_epochs) / span)
    if config.schedule == "exponential":
        return float(config.learning_rate * config.final_share**done)
    cosine = 0.5 * (1 + math.cos(math.pi * done))
    return config.learning_rate * (config.final_share + (1 - config.final_share) * cosine)
