"""The interface between the training loop and a method: networks, and their loss on a batch of training showers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from zdc_detector.showers import Showers


class Generator(nn.Module):
    """Networks that give the response to a particle.

    Attributes
    ----------
    noise : Dimension of the standard normal noise of each response.
    takes_pdg : Whether `rates` takes PDG codes as a third argument.
    output : What `rates` gives: ``rate``, means of Poisson counts, or ``count``.
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
        """Photons per fibre, shape (N, rows, columns).

        This function is exported as ONNX graph. It contains all steps from the particle in physical units to the face.

        Parameters
        ----------
        particles : Conditions in the physical units of `zdc_detector.particles`, flying to +z, shape (N, 9).
        noise : Standard normal, shape (N, `noise`).
        *pdg : PDG codes, int64, shape (N,), if `takes_pdg`.
        """
        raise NotImplementedError

    def adapted(self, source: "Generator") -> dict[str, Tensor]:
        """The weights and buffers of other networks of this class, for these networks.

        A class whose configuration has `Experiment.adaptable` keys changes the weights that depend on them.

        Parameters
        ----------
        source : Networks of the same configuration except for these keys.
        """
        return source.state_dict()

    def scale_light(self, factor: float) -> bool:  # noqa: ARG002
        """Multiply all rates by a factor; False, and no change, if the networks have no such constant."""
        return False

    def describe_scaler(self) -> dict[str, object]:
        """How the conditions are scaled, for the model card: ``kind`` and its numbers."""
        return {"kind": "none"}


M = TypeVar("M", bound=Generator)


class ObjectiveTerms(dict[str, Tensor]):
    """The weighted terms of an objective by name; their sum is the objective."""

    def total(self) -> Tensor:
        """The sum of all terms; for the e2eSAE it is L_sum of eq. 7 of the paper."""
        return torch.stack(list(self.values())).sum()


@dataclass(frozen=True)
class Player:
    """Weights that one optimiser changes to lower one objective; a GAN has two players, an autoencoder one.

    Attributes
    ----------
    rate : Learning rate as a multiple of the configured one.
    momentum : Decay of the first moment of Adam.
    """

    parameters: Sequence[nn.Parameter]
    rate: float = 1.0
    momentum: float = 0.9


class Learner(Protocol[M]):
    """Networks with their training showers."""

    @property
    def model(self) -> M:
        """The networks that are trained."""

    @property
    def players(self) -> Sequence[Player]:
        """The players of every step, in the order of their turns."""

    def turns(
        self, rows: NDArray[np.intp], rng: np.random.Generator, noise: torch.Generator
    ) -> Iterator[ObjectiveTerms]:
        """For each player, the weighted terms of its loss on a batch; its weights change before the next player's turn.

        Parameters
        ----------
        rows : Indices of the training showers of the batch.
        rng, noise : Sources of random numbers; `noise` is on the learner's device. Use no other source: only these are
            restored when a run is resumed.
        """

    def figures(self, model: M, showers: Showers) -> dict[str, float]:
        """Validation figures of this method alone, by name.

        Parameters
        ----------
        model : The trained networks, or the running average of their weights.
        """
