"""The end-to-end Sinkhorn autoencoder: encoder, decoder and noise generator (paper, section 3)."""

import torch
from torch import Tensor, nn
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.showers import Showers

from zdc_training.config.images import LossConfig, SinkhornConfig, SinkhornModelConfig
from zdc_training.images.generator import ImageAutoencoder
from zdc_training.images.learner import AutoencoderLearner
from zdc_training.images.losses import diversity, reconstruction_loss, sinkhorn_divergence
from zdc_training.images.networks import Decoder, Encoder, NoiseGenerator
from zdc_training.nn.distributed import gather, normal
from zdc_training.nn.learner import ObjectiveTerms
from zdc_training.nn.method import Method


class SinkhornAutoencoder(ImageAutoencoder):
    """Encoder, decoder and noise generator, trained together (eq. 7), conditional (eq. 8) or not (section 3.2)."""

    def __init__(self, config: SinkhornModelConfig, calorimeter: Calorimeter, *, rates: bool = False) -> None:
        super().__init__(config, calorimeter, config.noise, rates=rates)
        normalise = config.normalise_latents
        self.encoder = Encoder(calorimeter.shape, config.channels, config.latent, normalise=normalise)
        self.decoder = Decoder(calorimeter.shape, config.channels, config.latent)
        self.noise_generator = NoiseGenerator(config.noise, self.conditions, config.hidden, config.latent)
        self.start_dark()

    def encode(self, seen: Tensor, conditions: Tensor) -> Tensor:  # noqa: ARG002
        """Latents of images in the frame; neither encoder nor decoder sees the conditions (section 3.4)."""
        latents: Tensor = self.encoder(seen)
        return latents

    def decode(self, latents: Tensor, conditions: Tensor) -> Tensor:  # noqa: ARG002
        """What the decoder takes: the latents."""
        return latents

    def draw_latents(self, noise: Tensor, conditions: Tensor) -> Tensor:
        """See `ImageAutoencoder`; the noise generator's."""
        return self.generate(noise, conditions)


class SinkhornObjective(nn.Module):
    """L_sum of eq. 7 with the conditional Sinkhorn term of eq. 8.

    The latent has unit variance over the batch, and without `latent_noise` the rare bright showers take nearly all
    of it: the faint ones end up within 0.03 of each other, below the blur, where the divergence cannot tell them
    apart. Noise on what is decoded costs reconstruction there, so the encoder gives every shower room.

    The fourth term of eq. 7 is L2 on the weights of the encoder's last layer, with which the paper observed better
    convergence (section 3.3). Where latents are normalised (`model.normalise_latents`, the default here, not in the
    paper) they do not depend on the size of these weights: the term then changes no latent, it only keeps the weights
    small, and with them the steps that Adam takes relative to them. Without the normalisation it pulls the latents
    together, as the Sinkhorn term does.
    """

    condition_scale: Tensor

    def __init__(self, config: LossConfig) -> None:
        super().__init__()
        self.config = config
        self.divergence = sinkhorn_divergence(config.blur, config.scaling)
        self.register_buffer("condition_scale", torch.tensor(config.condition_scale, dtype=torch.float32))

    def forward(
        self, model: SinkhornAutoencoder, images: Tensor, particles: Tensor, generator: torch.Generator
    ) -> ObjectiveTerms:
        """Weighted terms for a batch.

        Parameters
        ----------
        images : log(1 + photons), shape (N, rows, columns).
        particles : Conditions in physical units, shape (N, 9).
        generator : Of the noise, and of the noise on what is decoded.
        """
        config = self.config
        conditions = model.scaler(particles)
        seen, visible = model.to_frame(images, particles)
        encoded = model.encoder(seen)
        noise = normal(len(images), model.noise, generator)
        jitter = normal(len(images), encoded.shape[1], generator)
        generated = model.generate(noise, conditions)
        left, right = encoded, generated
        if model.conditions:
            scaled = conditions * self.condition_scale
            left, right = torch.cat([encoded, scaled], dim=1), torch.cat([generated, scaled], dim=1)
        decoded = model.log_photons(encoded + config.latent_noise * jitter)
        return ObjectiveTerms(
            reconstruction=reconstruction_loss(config, decoded, seen, visible),
            sinkhorn=config.sinkhorn_weight * self.divergence(gather(left), gather(right)),
            diversity=config.diversity_weight * diversity(gather(encoded), config.diversity_threshold),
            encoder_l2=config.encoder_l2 * model.encoder.last.weight.square().sum(),
        )


def _build_model(config: SinkhornConfig, calorimeter: Calorimeter) -> SinkhornAutoencoder:
    return SinkhornAutoencoder(config.model, calorimeter, rates=config.loss.reconstruction == "poisson")


def _build_learner(
    config: SinkhornConfig, model: SinkhornAutoencoder, training: Showers, device: torch.device
) -> AutoencoderLearner[SinkhornAutoencoder]:
    return AutoencoderLearner(config, model, SinkhornObjective(config.loss), training, device)


METHOD = Method(_build_model, _build_learner)
