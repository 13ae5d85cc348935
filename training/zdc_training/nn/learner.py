"""What the training loop asks of a method: a network, and its loss on some of the training showers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from zdc_detector.showers import Showers


class Generator(nn.Module):
    """A network that answers particles.

    Attributes
    ----------
    noise : Numbers of noise for each response, standard normal.
    takes_pdg : Whether `rates` takes PDG codes as a third argument.
    output : Whether `rates` gives rates of Poisson counts, or counts.
    training_only : Names of the submodules that `rates` does without; they are not exported.
    foldable : Names of the `nn.Sequential` submodules in which export folds each batch normalisation into the layer
        before it.
    """

    noise: int
    takes_pdg: bool = False
    output: Literal["rate", "count"] = "rate"
    training_only: tuple[str, ...] = ()
    foldable: tuple[str, ...] = ()

    def rates(self, particles: Tensor, noise: Tensor, *pdg: Tensor) -> Tensor:
        """Photons per fibre, shape (N, rows, columns), of particles (N, 9) that fly to +z and noise (N, noise).

        This is what is exported: everything from the particle in physical units to the face is inside.
        """
        raise NotImplementedError

    def describe_scaler(self) -> dict[str, object]:
        """How the conditions are scaled, for the model card: ``kind`` and its numbers."""
        return {"kind": "none"}


M = TypeVar("M", bound=Generator)


class ObjectiveTerms(dict[str, Tensor]):
    """The weighted terms by name; their sum is the objective."""

    def total(self) -> Tensor:
        """L_sum of eq. 7."""
        return torch.stack(list(self.values())).sum()


@dataclass(frozen=True)
class Player:
    """Weights that one optimiser moves to lower one objective; of two adversaries each is one.

    Attributes
    ----------
    rate : Learning rate, as a multiple of the configured one.
    momentum : Decay of Adam's first moment.
    """

    parameters: Sequence[nn.Parameter]
    rate: float = 1.0
    momentum: float = 0.9


class Learner(Protocol[M]):
    """A network with the showers it is trained on."""

    @property
    def model(self) -> M:
        """What is trained."""

    @property
    def players(self) -> Sequence[Player]:
        """Who takes a turn in every step, in this order."""

    def turns(
        self, rows: NDArray[np.intp], rng: np.random.Generator, noise: torch.Generator
    ) -> Iterator[ObjectiveTerms]:
        """For each player the weighted terms of its loss on these training showers; it moves before the next is asked.

        Parameters
        ----------
        rows : Of the training showers.
        rng, noise : Where random numbers come from; `noise` lives on the learner's device.
        """

    def figures(self, model: M, showers: Showers) -> dict[str, float]:
        """What only this method can say of `model`, on showers that were not trained on, by name.

        Parameters
        ----------
        model : The trained networks, or the running average of their weights.
        """
