"""Autoencoders with a prior for the latent: what VAE, WAE with MMD, SWAE and SAE have in common (paper, sections 1-2).

As the paper describes them, encoder and decoder of the conditional forms take the conditions, and all latents of a
batch are compared with one prior. The paper says that all networks follow those of the Wasserstein autoencoder
(section 4) and gives no weights or kernels: here the networks are those of the e2eSAE. The decoder begins with the
dense layers of the e2eSAE's noise generator, so all methods process the conditions with equal capacity. A response is
generated from a sample of the prior.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.showers import Showers

from zdc_training.config.images import AutoencoderExperiment, NetworkConfig
from zdc_training.images.generator import ImageAutoencoder
from zdc_training.images.learner import AutoencoderLearner
from zdc_training.images.losses import reconstruction_loss
from zdc_training.images.networks import Decoder, Encoder, NoiseGenerator
from zdc_training.nn.distributed import normal
from zdc_training.nn.learner import ObjectiveTerms
from zdc_training.nn.method import Method

C = TypeVar("C", bound=AutoencoderExperiment)


class PriorAutoencoder(ImageAutoencoder):
    """An encoder to a latent, and a decoder of dense layers and transposed convolutions.

    A shower x with conditions c is reconstructed as D(E(x, c), c) and generated as D(z, c) from a prior sample z.

    Parameters
    ----------
    spread : The encoder gives the mean and the logarithm of the variance of each number of the latent.
    on_sphere : Latents have the length 1, and the prior is uniform on the unit sphere; otherwise it is standard normal.
    """

    def __init__(
        self,
        config: NetworkConfig,
        calorimeter: Calorimeter,
        *,
        rates: bool,
        spread: bool = False,
        on_sphere: bool = False,
    ) -> None:
        super().__init__(config, calorimeter, config.latent, rates=rates)
        self.on_sphere = on_sphere
        outputs = 2 * config.latent if spread else config.latent
        self.encoder = Encoder(calorimeter.shape, config.channels, outputs, conditions=self.conditions, normalise=False)
        self.decoder = Decoder(calorimeter.shape, config.channels, config.latent)
        self.noise_generator = NoiseGenerator(config.latent, self.conditions, config.hidden, config.latent)
        self.start_dark()

    def encode(self, seen: Tensor, conditions: Tensor) -> Tensor:
        """Latents of images in the frame; with `spread`, their means, then the logarithms of their variances."""
        outputs: Tensor = self.encoder(seen, *([conditions] if self.conditions else []))
        return nn.functional.normalize(outputs, dim=1) if self.on_sphere else outputs

    def prior(self, noise: Tensor) -> Tensor:
        """Samples of the prior from standard normal noise, shape (N, latent)."""
        return nn.functional.normalize(noise, dim=1) if self.on_sphere else noise

    def draw_latents(self, noise: Tensor, conditions: Tensor) -> Tensor:  # noqa: ARG002
        """Samples of the prior."""
        return self.prior(noise)

    def generate(self, noise: Tensor, conditions: Tensor) -> Tensor:
        """See `ImageGenerator`."""
        return self.decode(self.prior(noise), conditions)

    def decode(self, latents: Tensor, conditions: Tensor) -> Tensor:
        """The output of the dense layers for latents (with `spread`, their means) and conditions."""
        decoded: Tensor = self.noise_generator(latents[:, : self.latent], conditions)
        return decoded


class PriorObjective(nn.Module, Generic[C]):
    """Reconstruction, and a term that draws the latents to their prior; a subclass of each method has this term."""

    def __init__(self, config: C) -> None:
        super().__init__()
        self.config = config

    def forward(
        self, model: PriorAutoencoder, images: Tensor, particles: Tensor, generator: torch.Generator
    ) -> ObjectiveTerms:
        """Weighted terms for a batch.

        Parameters
        ----------
        images : log(1 + photons), shape (N, rows, columns).
        particles : Conditions in physical units, shape (N, 9).
        generator : Source of the samples of the prior and of further random numbers of the method.
        """
        conditions = model.scaler(particles)
        seen, visible = model.to_frame(images, particles)
        encoded = model.encode(seen, conditions)
        latents, terms = self.regularised(model, encoded, normal(len(images), model.noise, generator), generator)
        decoded = model.log_photons(model.decode(latents, conditions))
        return ObjectiveTerms(reconstruction=reconstruction_loss(self.config.loss, decoded, seen, visible), **terms)

    def regularised(
        self, model: PriorAutoencoder, encoded: Tensor, noise: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Latents to decode, and the weighted term that compares encoded latents with the prior, by name.

        Parameters
        ----------
        encoded : Output of the encoder, shape (N, latent); of the VAE (N, 2 * latent).
        noise : Standard normal, shape (N, latent).
        generator : Source of further random numbers.
        """
        raise NotImplementedError


def prior_method(
    objective: Callable[[C], PriorObjective[C]],
    *,
    spread: bool = False,
    on_sphere: Callable[[C], bool] = lambda config: False,  # noqa: ARG005
) -> Method[C, PriorAutoencoder]:
    """The method with this objective; `spread` and `on_sphere` are arguments of `PriorAutoencoder`."""

    def build_model(config: C, calorimeter: Calorimeter) -> PriorAutoencoder:
        rates = config.loss.reconstruction == "poisson"
        return PriorAutoencoder(config.model, calorimeter, rates=rates, spread=spread, on_sphere=on_sphere(config))

    def build_learner(
        config: C, model: PriorAutoencoder, training: Showers, device: torch.device
    ) -> AutoencoderLearner[PriorAutoencoder]:
        return AutoencoderLearner(config, model, objective(config), training, device)

    return Method(build_model, build_learner)
