"""What the training loop asks of a method: a network, and its loss on some of the training showers."""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from zdc_detector.showers import Showers


class Generator(nn.Module):
    """A network that answers particles.

    Attributes
    ----------
    noise : Numbers of noise for each response.
    takes_pdg : Whether `rates` takes PDG codes as a third argument.
    """

    noise: int
    takes_pdg: bool = False

    def rates(self, particles: Tensor, noise: Tensor, *pdg: Tensor) -> Tensor:
        """Photons per fibre, shape (N, rows, columns), of particles (N, 9) that fly to +z and noise (N, noise).

        This is what is exported: everything from the particle in physical units to the face is inside.
        """
        raise NotImplementedError


class ObjectiveTerms(dict[str, Tensor]):
    """The weighted terms by name; their sum is the objective."""

    def total(self) -> Tensor:
        """L_sum of eq. 7."""
        return torch.stack(list(self.values())).sum()


class Learner(Protocol):
    """A network with the showers it is trained on."""

    @property
    def model(self) -> Generator:
        """What is trained."""

    @property
    def objective(self) -> nn.Module:
        """The loss, which may hold numbers that belong to the training showers."""

    def terms(self, rows: NDArray[np.intp], rng: np.random.Generator, noise: torch.Generator) -> ObjectiveTerms:
        """The weighted terms of the loss on these training showers, with random numbers from `rng` and `noise`."""

    def reconstruction(self, model: Generator, showers: Showers) -> float:
        """The weighted reconstruction term of showers, without noise on the latent; `model` is of this kind."""
