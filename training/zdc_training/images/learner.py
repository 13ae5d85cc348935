"""Methods on whole images in the training loop."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.profiler import record_function
from zdc_detector.showers import Showers

from zdc_training.config.images import ImageConfig, PriorConfig, SinkhornConfig
from zdc_training.data.symmetries import NAMES, apply_symmetry
from zdc_training.images.e2esae import SinkhornAutoencoder, SinkhornObjective
from zdc_training.images.generator import ImageGenerator
from zdc_training.images.losses import diameter, reconstruction_loss
from zdc_training.images.prior_autoencoders import PriorAutoencoder, PriorObjective
from zdc_training.nn.distributed import share, shared
from zdc_training.nn.learner import Generator, ObjectiveTerms, Player


class ImageLearner:
    """Batches of images, each turned by a symmetry of its own.

    The scaler of the conditions is fitted to the training showers.
    """

    def __init__(self, config: ImageConfig, model: ImageGenerator, training: Showers, device: torch.device) -> None:
        model.scaler.fit(torch.from_numpy(training.particles.conditions))
        self.training = training
        self.symmetries = config.data.symmetries
        self.device = device
        self.model = model.to(device)
        # Channels last is the faster layout, on CPUs by a seventh. But there torch's batch normalisation sums it in an
        # order that loses three digits: the gradient was off by up to 0.7 %, in the usual layout by 0.006 %.
        if device.type != "cpu":
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # declared for tensors

    def batch(self, rows: NDArray[np.intp], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """log(1 + photons) and conditions of this process's share of some rows, each turned by its own symmetry."""
        with record_function("within: batch"):
            return self._batch(rows, rng)

    def _batch(self, rows: NDArray[np.intp], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        mine = share(len(rows))
        conditions: NDArray[np.float32] = self.training.particles.conditions[rows[mine]]
        responses: NDArray[np.generic] = self.training.responses[rows[mine]]
        if self.symmetries:
            square = responses.shape[1] == responses.shape[2]
            turns = rng.integers(len(NAMES) if square else len(NAMES) // 2, size=len(rows))[mine]
            conditions, responses = apply_symmetry(conditions, responses, turns)
        return self.images(responses), torch.from_numpy(conditions).to(self.device)

    def images(self, responses: NDArray[np.generic]) -> Tensor:
        """log(1 + photons) on the learner's device."""
        return torch.from_numpy(responses.astype(np.float32)).to(self.device).log1p()


class AutoencoderLearner(ImageLearner):
    """An autoencoder of any of the methods: one player."""

    def __init__(
        self,
        config: SinkhornConfig | PriorConfig,
        model: SinkhornAutoencoder | PriorAutoencoder,
        training: Showers,
        device: torch.device,
    ) -> None:
        super().__init__(config, model, training, device)
        self.loss = config.loss
        objective = SinkhornObjective(config.loss) if isinstance(config, SinkhornConfig) else PriorObjective(config)
        self.joint = shared(partial(objective.to(device), model), [model], config.optimiser.precision)
        self.players = (Player(list(model.parameters())),)

    def turns(
        self, rows: NDArray[np.intp], rng: np.random.Generator, noise: torch.Generator
    ) -> Iterator[ObjectiveTerms]:
        """See `Learner`."""
        yield self.joint(*self.batch(rows, rng), noise)

    def figures(self, model: Generator, showers: Showers) -> dict[str, float]:
        """The weighted reconstruction term, without noise on the latent, and how wide the encoded latents are."""
        assert isinstance(model, SinkhornAutoencoder | PriorAutoencoder)
        particles = torch.from_numpy(showers.particles.conditions).to(self.device)
        seen, visible = model.to_frame(self.images(showers.responses), particles)
        conditions = model.scaler(particles)
        latents = model.encode(seen, conditions)
        log_photons = model.log_photons(model.decode(latents, conditions))
        return {
            "reconstruction": float(reconstruction_loss(self.loss, log_photons, seen, visible)),
            "latent_diameter": diameter(latents[:, : model.latent]),
        }
