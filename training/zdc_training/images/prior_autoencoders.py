"""Autoencoders whose latent is made to follow a prior: VAE, WAE with MMD, SWAE, SAE (paper, sections 1-2).

As the paper describes them, the conditional forms give the conditions to encoder and decoder, and compare all latents
of a batch with one prior. Of networks it says only that all follow those of the Wasserstein autoencoder (section 4),
of weights and kernels nothing: here the networks are those of the e2eSAE. The decoder begins with the dense layers
that are the noise generator there, so that equal means read the conditions; a response is generated from a sample of
the prior.
"""

import torch
from torch import Tensor, nn
from zdc_detector.calorimeter import Calorimeter

from zdc_training.config.images import (
    NetworkConfig,
    PriorConfig,
    SaeConfig,
    SaeModelConfig,
    VaeConfig,
    WaeConfig,
)
from zdc_training.images.generator import ImageGenerator
from zdc_training.images.losses import mean_discrepancy, reconstruction_loss, sinkhorn_divergence, sliced_distance
from zdc_training.images.networks import Decoder, Encoder, NoiseGenerator
from zdc_training.nn.distributed import gather, normal
from zdc_training.nn.learner import ObjectiveTerms


class PriorAutoencoder(ImageGenerator):
    """An encoder to a latent, and a decoder of dense layers and transposed convolutions.

    Parameters
    ----------
    spread : The encoder gives a logarithm of a variance beside every number of the latent.
    """

    def __init__(self, config: NetworkConfig, calorimeter: Calorimeter, *, rates: bool, spread: bool = False) -> None:
        super().__init__(config, calorimeter, config.latent, rates=rates)
        self.on_sphere = isinstance(config, SaeModelConfig) and config.prior == "hypersphere"
        outputs = 2 * config.latent if spread else config.latent
        self.encoder = Encoder(calorimeter.shape, config.channels, outputs, conditions=self.conditions, normalise=False)
        self.decoder = Decoder(calorimeter.shape, config.channels, config.latent)
        self.noise_generator = NoiseGenerator(config.latent, self.conditions, config.hidden, config.latent)
        self.start_dark()

    def encode(self, seen: Tensor, conditions: Tensor) -> Tensor:
        """Latents, or with `spread` their means and logarithms of variances, of images in the frame."""
        outputs: Tensor = self.encoder(seen, *([conditions] if self.conditions else []))
        return nn.functional.normalize(outputs, dim=1) if self.on_sphere else outputs

    def prior(self, noise: Tensor) -> Tensor:
        """Samples of the prior from standard normal noise, shape (N, latent)."""
        return nn.functional.normalize(noise, dim=1) if self.on_sphere else noise

    def generate(self, noise: Tensor, conditions: Tensor) -> Tensor:
        """See `ImageGenerator`."""
        return self.decode(self.prior(noise), conditions)

    def decode(self, latents: Tensor, conditions: Tensor) -> Tensor:
        """What the dense layers make of latents, of a posterior its mean, and conditions."""
        decoded: Tensor = self.noise_generator(latents[:, : self.latent], conditions)
        return decoded


class PriorObjective(nn.Module):
    """Reconstruction, and what keeps the latent at its prior."""

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        self.config = config
        self.divergence = (
            sinkhorn_divergence(config.loss.blur, config.loss.scaling) if isinstance(config, SaeConfig) else None
        )

    def forward(
        self, model: PriorAutoencoder, images: Tensor, particles: Tensor, generator: torch.Generator
    ) -> ObjectiveTerms:
        """Weighted terms for a batch.

        Parameters
        ----------
        images : log(1 + photons), shape (N, rows, columns).
        particles : Conditions in physical units, shape (N, 9).
        generator : Of the samples of the prior, and of what the method draws beside.
        """
        conditions = model.scaler(particles)
        seen, visible = model.to_frame(images, particles)
        latents, terms = self.regularised(
            model, model.encode(seen, conditions), normal(len(images), model.noise, generator), generator
        )
        decoded = model.log_photons(model.decode(latents, conditions))
        return ObjectiveTerms(reconstruction=reconstruction_loss(self.config.loss, decoded, seen, visible), **terms)

    def regularised(
        self, model: PriorAutoencoder, encoded: Tensor, noise: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Latents to decode, and the weighted term that compares what was encoded with the prior."""
        config = self.config
        if isinstance(config, VaeConfig):
            mean, log_variance = encoded.chunk(2, dim=1)
            divergence = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(dim=1).mean()
            return mean + (0.5 * log_variance).exp() * noise, {"kl": config.loss.kl_weight * divergence}
        latents, prior = gather(encoded), gather(model.prior(noise))
        if isinstance(config, WaeConfig):
            return encoded, {"mmd": config.loss.mmd_weight * mean_discrepancy(latents, prior)}
        if isinstance(config, SaeConfig):
            assert self.divergence is not None
            return encoded, {"sinkhorn": config.loss.sinkhorn_weight * self.divergence(latents, prior)}
        # The same directions in every process.
        directions = torch.randn(config.loss.projections, model.noise, generator=generator, device=generator.device)
        return encoded, {"sliced": config.loss.sliced_weight * sliced_distance(latents, prior, directions)}
