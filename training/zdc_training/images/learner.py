"""Learners of the methods on whole images."""

from collections.abc import Iterator
from functools import partial
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.profiler import record_function
from zdc_detector.showers import Showers
from zdc_detector.symmetries import apply_symmetry, symmetries_of

from zdc_training.config.images import AutoencoderExperiment, ImageExperiment
from zdc_training.images.generator import ImageAutoencoder, ImageGenerator
from zdc_training.images.losses import diameter, reconstruction_loss
from zdc_training.nn.distributed import own_rows, shared
from zdc_training.nn.learner import ObjectiveTerms, Player

M = TypeVar("M", bound=ImageGenerator)
A = TypeVar("A", bound=ImageAutoencoder)


class ImageLearner(Generic[M]):
    """Makes batches of images, with a random symmetry applied to each shower.

    It fits the scaler of the conditions to the training showers.
    """

    def __init__(self, config: ImageExperiment, model: M, training: Showers, device: torch.device) -> None:
        model.scaler.fit(torch.from_numpy(training.particles.conditions))
        self.training = training
        self.symmetries = config.data.symmetries
        self.device = device
        self.model = model.to(device)
        # Channels last is the faster layout, by 15 % on CPUs. But on CPUs, torch's batch normalisation sums this layout
        # in an order that loses three digits: gradients had errors up to 0.7 %, and 0.006 % in the usual layout.
        if device.type != "cpu":
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # declared for tensors

    def batch(self, rows: NDArray[np.intp], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """log(1 + photons) and conditions of this process's rows of a batch, each with its own random symmetry."""
        with record_function("within: batch"):
            return self._batch(rows, rng)

    def _batch(self, rows: NDArray[np.intp], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        mine = own_rows(len(rows))
        conditions: NDArray[np.float32] = self.training.particles.conditions[rows[mine]]
        responses: NDArray[np.generic] = self.training.responses[rows[mine]]
        if self.symmetries:
            calorimeter = self.training.calorimeter
            turns = rng.integers(len(symmetries_of(calorimeter)), size=len(rows))[mine]
            conditions, responses = apply_symmetry(conditions, responses, turns, calorimeter.centre)
        return self.images(responses), torch.from_numpy(conditions).to(self.device)

    def images(self, responses: NDArray[np.generic]) -> Tensor:
        """log(1 + photons) on the learner's device."""
        return torch.from_numpy(responses.astype(np.float32)).to(self.device).log1p()


class AutoencoderLearner(ImageLearner[A]):
    """An autoencoder: encoder, decoder and noise generator lower one objective together.

    Parameters
    ----------
    objective : Called with the model, log(1 + photons), conditions and a random generator; returns the weighted terms.
    """

    def __init__(
        self,
        config: AutoencoderExperiment,
        model: A,
        objective: nn.Module,
        training: Showers,
        device: torch.device,
    ) -> None:
        super().__init__(config, model, training, device)
        self.loss = config.loss
        self.joint = shared(partial(objective.to(device), model), [model], config.optimiser.precision)
        self.players = (Player(list(model.parameters())),)

    def turns(
        self, rows: NDArray[np.intp], rng: np.random.Generator, noise: torch.Generator
    ) -> Iterator[ObjectiveTerms]:
        """See `Learner`."""
        yield self.joint(*self.batch(rows, rng), noise)

    def figures(self, model: A, showers: Showers) -> dict[str, float]:
        """The weighted reconstruction term, without noise on the latents, and the diameter of the encoded latents."""
        particles = torch.from_numpy(showers.particles.conditions).to(self.device)
        seen, visible = model.to_frame(self.images(showers.responses), particles)
        conditions = model.scaler(particles)
        latents = model.encode(seen, conditions)
        log_photons = model.log_photons(model.decode(latents, conditions))
        return {
            "reconstruction": float(reconstruction_loss(self.loss, log_photons, seen, visible)),
            "latent_diameter": diameter(latents[:, : model.latent]),
        }
