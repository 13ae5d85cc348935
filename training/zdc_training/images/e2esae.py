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
    """Encoder E, decoder D and noise generator G, trained together; conditional or not.

    A shower x with conditions c is reconstructed as D(E(x)) and generated as D(G(n, c)) with standard normal noise n.
    `SinkhornObjective` makes the latents G(n, c) follow the distribution of E(x) for each c.

    References
    ----------
    The paper, sections 3.2 (unconditional), 3.4 (conditional) and 4 (networks).
    """

    def __init__(self, config: SinkhornModelConfig, calorimeter: Calorimeter, *, rates: bool = False) -> None:
        super().__init__(config, calorimeter, config.noise, rates=rates)
        normalise = config.normalise_latents
        self.encoder = Encoder(calorimeter.shape, config.channels, config.latent, normalise=normalise)
        self.decoder = Decoder(calorimeter.shape, config.channels, config.latent)
        self.noise_generator = NoiseGenerator(config.noise, self.conditions, config.hidden, config.latent)
        self.start_dark()

    def encode(self, seen: Tensor, conditions: Tensor) -> Tensor:  # noqa: ARG002
        """Latents of images in the frame; encoder and decoder do not use the conditions (section 3.4)."""
        latents: Tensor = self.encoder(seen)
        return latents

    def decode(self, latents: Tensor, conditions: Tensor) -> Tensor:  # noqa: ARG002
        """The latents: the decoder does not use the conditions."""
        return latents

    def draw_latents(self, noise: Tensor, conditions: Tensor) -> Tensor:
        """The output of the noise generator."""
        return self.generate(noise, conditions)


class SinkhornObjective(nn.Module):
    """L_sum of eq. 7 with the conditional Sinkhorn term of eq. 8.

    With latents z = E(x), generated latents z' = G(n, c) and the scaled conditions c,

        L_sum = alpha L_recon(D(z + s e), x) + beta S((z, c), (z', c)) + gamma |W|^2 + delta R(z).

    alpha is `reconstruction_weight`, beta `sinkhorn_weight`, gamma `encoder_l2` and delta `diversity_weight`; S is the
    `sinkhorn_divergence` of latents joined with conditions (times `condition_scale`), W the weights of the last layer
    of the encoder and R the `diversity` term. e is standard normal, s = `latent_noise`; the paper has s = 0.

    Why latent noise: the latents have unit variance over the batch. Without noise, rare bright showers occupy nearly
    all of this range, and faint showers are within 0.03 of each other. That is below the blur, so the divergence cannot
    distinguish them. With noise, latents that are too close are reconstructed badly, so the encoder separates them.

    The paper observed better convergence with the term in W (section 3.3). If latents are normalised
    (`model.normalise_latents`, true by default, not in the paper), they do not depend on the size of W. The term then
    only keeps the weights small, so that the steps of Adam are larger relative to them. Without normalisation, it pulls
    the latents together, as the Sinkhorn term does.

    References
    ----------
    The paper, eq. 7 and 8.
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
        generator : Source of the noise n and of the noise on the latents.
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
