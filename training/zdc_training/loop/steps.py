"""A step of the training loop: every player's turn, checked before it moves a weight."""

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

#: Norm of the gradient before it is clipped, of the first player; those of others have a number behind.
GRADIENT_NORM = "gradient_norm"
#: No weight of a training that goes well comes near.
_RUNAWAY = 1e3
_MOST = 80  # letters of another library's message


@dataclass(frozen=True)
class Draws:
    """Where the random numbers of an epoch come from."""

    rng: np.random.Generator
    noise: torch.Generator

    @classmethod
    def of_epoch(cls, seed: int, epoch: int, device: torch.device) -> "Draws":
        """A function of the seed and the number of epochs before, so that a resumed run goes on as it would have."""
        rng = np.random.default_rng([seed, epoch])
        return cls(rng, torch.Generator(device).manual_seed(int(rng.integers(2**62))))

    def copy(self) -> "Draws":
        """Draws the same numbers again."""
        noise = torch.Generator(self.noise.device)
        noise.set_state(self.noise.get_state())
        return Draws(copy.deepcopy(self.rng), noise)


@dataclass
class Training:
    """What is trained, and how far it is."""

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
        """Untrained networks, and optimisers that have not moved yet."""
        learner, optimiser = build_learner(config, training, device), config.optimiser

        def adam(player: Player) -> torch.optim.Optimizer:
            betas, decay = (player.momentum, 0.999), optimiser.weight_decay
            return torch.optim.AdamW(player.parameters, optimiser.learning_rate, betas, weight_decay=decay)

        average = copy.deepcopy(learner.model).eval().requires_grad_(False) if optimiser.average else None
        return cls(config, learner, [adam(player) for player in learner.players], average)

    @property
    def kept(self) -> Generator:
        """What is validated and exported: the average of the weights where there is one."""
        return self.average or self.learner.model

    @property
    def patient(self) -> bool:
        """Whether the last validations leave hope of a better one."""
        patience = self.config.optimiser.patience
        return patience is None or self.waited < patience

    @property
    def finished(self) -> bool:
        """Whether there is no epoch left to train."""
        return self.epoch >= self.config.optimiser.epochs or not self.patient

    @property
    def device(self) -> torch.device:
        """Where it is trained."""
        device: torch.device = next(self.learner.model.parameters()).device
        return device

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs."""
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
        """Go on where `saved` stopped."""
        self.learner.model.load_state_dict(saved["model"])
        if self.average is not None:
            # A run that began without an average takes one up from the weights that it has reached.
            self.average.load_state_dict(saved["average"] or saved["model"])
        for optimiser, held in zip(self.optimisers, saved["optimisers"], strict=True):
            optimiser.load_state_dict(held)
        self.steps, self.epoch, self.best = saved["steps"], saved["epoch"], saved["best"]
        self.waited = saved.get("waited", 0)

    def step(self, rows: NDArray[np.intp], draws: Draws, rate: float) -> dict[str, float]:
        """Let every player move once; returns the terms of their losses, means over processes, and `GRADIENT_NORM`.

        Parameters
        ----------
        rows : Of the training showers, the whole batch.
        rate : Learning rate.

        Raises
        ------
        TrainingError : a term or a gradient is not finite, and moved nothing; or weights are so large that a term
            cannot be computed.
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
            # One transfer from the device, and before weights move: a checkpoint never holds any that are of no use.
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
        """The term whose gradient is not finite, computed once more; no weight of this turn has moved."""
        turns = self.learner.turns(rows, before.rng, before.noise)
        terms = [next(turns) for _ in range(turn + 1)][-1]
        for name, term in terms.items():
            gradients = torch.autograd.grad(term, self.learner.players[turn].parameters, None, True, allow_unused=True)
            norms = [gradient.norm() for gradient in gradients if gradient is not None]
            if not torch.stack(norms).norm().isfinite():
                return f"gradient of the {name}"
        return "gradient of the sum, though of no one"

    @contextmanager
    def computing(self) -> Iterator[None]:
        """What libraries raise where weights have run away, as a `TrainingError`; other errors pass."""
        try:
            yield
        except (RuntimeError, ValueError) as error:
            with torch.no_grad():
                largest = max(float(weights.abs().max()) for weights in self.learner.model.parameters())
            if largest < _RUNAWAY and self.config.optimiser.learning_rate < _RUNAWAY:
                raise
            reason = str(error).partition("\n")[0][:_MOST]
            raise self.failure(f"weights have run away, up to {largest:.3g} ({reason})") from error

    def failure(self, what: str) -> TrainingError:
        """An error that says where the training stopped, why, and what helps."""
        keys = {"optimiser.learning_rate": "lower", "optimiser.clip_gradient": "lower"}
        if self.config.blur is not None:
            keys["loss.blur"] = "higher"
        remedies = " or ".join(f"--set {key}=... ({change})" for key, change in keys.items())
        kept = "go on from the last finished epoch with --resume and" if self.epoch else "begin again with --resume and"
        return TrainingError(f"epoch {self.epoch + 1}, step {self.steps + 1}: {what}; {kept} {remedies}")

    @torch.no_grad()
    def _move_average(self) -> None:
        """One step of the running average, which forgets faster at the start; buffers are copied."""
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
    """The terms, means over processes, and the norm of the gradient, which all have alike."""
    numbers = torch.stack([*(term.detach() for term in terms.values()), norm.detach()])
    return dict(zip((*terms, GRADIENT_NORM), (total(numbers) / processes()).tolist(), strict=True))


def learning_rate(config: OptimiserConfig, epoch: float) -> float:
    """Linear warm-up, then down to `final_share` of the rate; `epoch` counts fractions."""
    if epoch < config.warmup_epochs:
        return config.learning_rate * (epoch + 1e-3) / config.warmup_epochs
    span = max(config.epochs - config.warmup_epochs, 1)
    done = min(1.0, (epoch - config.warmup_epochs) / span)
    if config.schedule == "exponential":
        return float(config.learning_rate * config.final_share**done)
    cosine = 0.5 * (1 + math.cos(math.pi * done))
    return config.learning_rate * (config.final_share + (1 - config.final_share) * cosine)
