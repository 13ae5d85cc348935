"""The terms of eq. 7 and the conditional cost of eq. 8."""

from collections.abc import Callable

import torch
from geomloss import SamplesLoss
from torch import Tensor, nn

from zdc_training.config import LossConfig
from zdc_training.learner import ObjectiveTerms
from zdc_training.model import SinkhornAutoencoder


def reconstruction_loss(kind: str, log_photons: Tensor, target: Tensor, visible: Tensor) -> Tensor:
    """L_recon of section 3.1, mean over fibres; those that are not visible add nothing.

    Parameters
    ----------
    kind : ``mse`` compares log(1 + photons); ``poisson`` is the negative log-likelihood of the counts, without
        the term that depends on the counts alone.
    log_photons, target : log(1 + photons), shape (N, rows, columns).
    visible : 1 or 0 for each fibre, same shape.
    """
    if kind == "mse":
        return ((log_photons - target).square() * visible).mean()
    rate, counts = torch.expm1(log_photons), torch.expm1(target)
    return ((rate - counts * torch.log(rate + 1e-8)) * visible).mean()


def sinkhorn_divergence(blur: float, scaling: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Debiased S_{c, eps} of eq. 4 with c = |x - y|^2 / 2 and eps = blur^2, between two point clouds (N, D).

    The tensorised backend is named because the automatic one may pick KeOps, which compiles at run time.
    """
    divergence: Callable[[Tensor, Tensor], Tensor] = SamplesLoss(
        "sinkhorn", p=2, blur=blur, scaling=scaling, debias=True, backend="tensorized"
    )
    return divergence


def diversity(latents: Tensor, threshold: float) -> Tensor:
    """R_s of eq. 5-6 per pair: mean over i != j of the squared cosine similarity where |similarity| >= tau."""
    unit = nn.functional.normalize(latents, dim=1)
    similarity = unit @ unit.T
    similarity = similarity - torch.diag(torch.diagonal(similarity))
    kept = similarity.abs() >= threshold
    n = len(latents)
    return (similarity.square() * kept).sum() / (n * (n - 1))


class Objective(nn.Module):
    """L_sum of eq. 7 with the conditional Sinkhorn term of eq. 8.

    The latent has unit variance over the batch, and without `latent_noise` the rare bright showers take nearly all
    of it: the faint ones end up within 0.03 of each other, below the blur, where the divergence cannot tell them
    apart. Noise on what is decoded costs reconstruction there, so the encoder gives every shower room.
    """

    condition_scale: Tensor

    def __init__(self, config: LossConfig, conditional: bool) -> None:
        super().__init__()
        self.config = config
        self.conditional = conditional
        self.divergence = sinkhorn_divergence(config.blur, config.scaling)
        self.register_buffer("condition_scale", torch.tensor(config.condition_scale, dtype=torch.float32))

    def forward(
        self, model: SinkhornAutoencoder, images: Tensor, particles: Tensor, noise: Tensor, jitter: Tensor
    ) -> ObjectiveTerms:
        """Weighted terms for a batch.

        Parameters
        ----------
        model : The three networks.
        images : log(1 + photons), shape (N, rows, columns).
        particles : Conditions in physical units, shape (N, 9).
        noise : Standard normal, shape (N, noise).
        jitter : Standard normal, shape (N, latent); scaled by `latent_noise` and added to what is decoded.
        """
        config = self.config
        conditions = model.scaler(particles)
        seen, visible = model.to_frame(images, particles)
        encoded = model.encoder(seen)
        generated = model.noise_generator(noise, conditions)
        left, right = encoded, generated
        if self.conditional:
            scaled = conditions * self.condition_scale
            left, right = torch.cat([encoded, scaled], dim=1), torch.cat([generated, scaled], dim=1)
        decoded = model.log_photons(encoded + config.latent_noise * jitter)
        reconstruction = reconstruction_loss(config.reconstruction, decoded, seen, visible)
        return ObjectiveTerms(
            reconstruction=config.reconstruction_weight * reconstruction,
            sinkhorn=config.sinkhorn_weight * self.divergence(left, right),
            diversity=config.diversity_weight * diversity(encoded, config.diversity_threshold),
            encoder_l2=config.encoder_l2 * model.encoder.last.weight.square().sum(),
        )
