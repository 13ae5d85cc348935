"""The conditional end-to-end Sinkhorn autoencoder in the training loop."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from zdc_detector.showers import Showers

from zdc_training.config import TrainingConfig
from zdc_training.learner import Generator, ObjectiveTerms
from zdc_training.losses import Objective, reconstruction_loss
from zdc_training.model import SinkhornAutoencoder
from zdc_training.symmetries import NAMES, apply_symmetry


class SinkhornLearner:
    """Batches of images, each turned by a symmetry of its own, and the terms of eq. 7."""

    def __init__(
        self, config: TrainingConfig, model: SinkhornAutoencoder, training: Showers, device: torch.device
    ) -> None:
        self.config = config
        self.training = training
        self.device = device
        model.scaler.fit(torch.from_numpy(training.particles.conditions))
        self.model = model.to(device)
        self.objective = Objective(config.loss, config.model.conditional).to(device)

    def terms(self, rows: NDArray[np.intp], rng: np.random.Generator, noise: torch.Generator) -> ObjectiveTerms:
        """See `Learner`."""
        images, particles = self._batch(rows, rng)
        drawn = torch.randn(len(rows), self.config.model.noise, generator=noise)
        jitter = torch.randn(len(rows), self.config.model.latent, generator=noise)
        inputs = (tensor.to(self.device) for tensor in (images, particles, drawn, jitter))
        terms: ObjectiveTerms = self.objective(self.model, *inputs)
        return terms

    def _batch(self, rows: NDArray[np.intp], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """log(1 + photons) and conditions of some rows, each turned by a symmetry of its own."""
        conditions: NDArray[np.float32] = self.training.particles.conditions[rows]
        responses: NDArray[np.generic] = self.training.responses[rows]
        if self.config.data.symmetries:
            square = responses.shape[1] == responses.shape[2]
            turns = rng.integers(len(NAMES) if square else len(NAMES) // 2, size=len(rows))
            conditions, responses = apply_symmetry(conditions, responses, turns)
        return torch.from_numpy(responses.astype(np.float32)).log1p(), torch.from_numpy(conditions)

    def reconstruction(self, model: Generator, showers: Showers) -> float:
        """See `Learner`."""
        assert isinstance(model, SinkhornAutoencoder)
        images = torch.from_numpy(showers.responses.astype(np.float32)).log1p().to(self.device)
        seen, visible = model.to_frame(images, torch.from_numpy(showers.particles.conditions).to(self.device))
        loss = self.config.loss
        log_photons = model.log_photons(model.encoder(seen))
        return loss.reconstruction_weight * float(reconstruction_loss(loss.reconstruction, log_photons, seen, visible))
