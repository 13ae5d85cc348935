"""The objective of the fast generator: reconstruction, and proper scores of generated responses.

The energy score of generated x_1 .. x_K and a simulated y is

    mean_i |x_i - y| - 1/2 mean_{i != j} |x_i - x_j|.

Its expectation is smallest for the correct conditional distribution. In one dimension it is the CRPS. It needs one
simulation of each particle. Unlike a Sinkhorn divergence, it does not match the showers of a batch with each other.

References
----------
Gneiting and Raftery, "Strictly proper scoring rules, prediction, and estimation", JASA 102, 2007.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zdc_training.config.fast import FastLossConfig
from zdc_training.fast.coarse_frame import CoarseFrame
from zdc_training.fast.model import FastAutoencoder
from zdc_training.fast.shower_scores import ShowerScores
from zdc_training.nn.learner import ObjectiveTerms
from zdc_training.nn.light import clumping_of, poisson_counts, spread_light

_TINY = 1e-6


@dataclass(frozen=True)
class FastBatch:
    """N simulated showers in the coarse frame.

    Attributes
    ----------
    features, log_energy : See `zdc_training.fast.entry_features.EntryFeatures`, shapes (N, F), (N, 1).
    photons : Photons in each unit, shape (N, U).
    fibres : Number of fibres of each unit on the face by channel, shape (N, U, C); with `LightProfile`, their shares.
    channels : Channel sums, shape (N, C).
    """

    features: Tensor
    log_energy: Tensor
    photons: Tensor
    fibres: Tensor
    channels: Tensor


def energy_score(generated: Tensor, simulated: Tensor) -> Tensor:
    """Energy score of vectors, shape (N,), see the module; shapes of the arguments (K, N, D) and (N, D)."""
    return _score((generated - simulated).square().sum(dim=-1), _pairs(generated).square().sum(dim=-1))


def crps(generated: Tensor, simulated: Tensor) -> Tensor:
    """CRPS of each number, shape (N, D); shapes of the arguments (K, N, D) and (N, D)."""
    return (generated - simulated).abs().mean(dim=0) - 0.5 * _pairs(generated).abs().mean(dim=0)


def _score(to_truth: Tensor, among: Tensor) -> Tensor:
    return (to_truth + _TINY).sqrt().mean(dim=0) - 0.5 * (among + _TINY).sqrt().mean(dim=0)


def _pairs(generated: Tensor) -> Tensor:
    """Differences of each unordered pair of draws; their mean equals the mean over ordered pairs."""
    first, second = torch.triu_indices(len(generated), len(generated), offset=1)
    return generated[first] - generated[second]


class FastObjective(nn.Module):
    """The weighted sum of a gate likelihood, a Poisson deviance and energy scores.

    A response can be empty for two reasons: the gate is closed, with probability g, or the Poisson counts of a faint
    shower are all 0, with probability f. The gate is trained by the likelihood of the empty responses,

        -log(g + (1 - g) f) for an empty response,    -log(1 - g) for another one.

    In all other terms, an empty response has the weight (1 - g) f / (g + (1 - g) f), the probability of the second
    reason. See the module for the energy score.
    """

    def __init__(self, config: FastLossConfig, frame: CoarseFrame) -> None:
        super().__init__()
        self.config = config
        self.scores = ShowerScores(frame)

    def forward(self, model: FastAutoencoder, batch: FastBatch, generator: torch.Generator) -> ObjectiveTerms:
        """Weighted terms, means over the batch.

        Parameters
        ----------
        generator : Source of random numbers, on the device of the batch.
        """
        config, size, draws = self.config, len(batch.photons), self.config.draws

        def normal(rows: int, columns: int) -> Tensor:
            return torch.randn(rows, columns, generator=generator, device=generator.device)

        def uniform(like: Tensor) -> Tensor:
            return torch.rand(like.shape, generator=generator, device=generator.device)

        visible = batch.fibres.sum(dim=2)
        conditions = model.conditions(batch.features)
        again = conditions.repeat(draws, 1)
        latents = model.generate(again, normal(draws * size, model.generator_noise))
        expected = model.expected(batch.features, batch.log_energy)
        rates = model.decode(again, latents, expected.repeat(draws, 1)).reshape(draws, size, -1)
        visible_rates = rates * visible

        dark = model.dark(batch.features)[:, 0].clamp(1e-6, 1.0 - 1e-6)
        faint = torch.exp(-visible_rates.detach().sum(dim=-1)).mean(dim=0)
        empty = batch.photons.sum(dim=1) == 0
        share = (dark + (1.0 - dark) * faint).clamp(max=1.0 - 1e-6)
        gate = -torch.where(empty, share.log(), torch.log1p(-dark)).mean()
        weight = torch.where(empty, (1.0 - dark) * faint / share, 1.0).detach()

        def weighed(values: Tensor) -> Tensor:
            return (weight * values).mean()

        encoded = model.encode(batch.photons, batch.features)
        noisy = encoded + config.latent_noise * normal(size, model.latent)
        decoded = model.decode(conditions, noisy, expected) * visible
        target = encoded.detach() + config.latent_noise * normal(size, model.latent)

        def clumping(light: Tensor) -> Tensor | float:
            return clumping_of(light, model.clumping, model.knee)

        channel_rates = torch.einsum("knu,nuc->knc", rates, batch.fibres)
        sums, photons = (
            poisson_counts(spread_light(mean, uniform(mean), clumping(mean)), generator)
            for mean in (channel_rates, visible_rates)
        )
        features, simulated = (self.scores.features(counts, visible) for counts in (photons, batch.photons))
        images, image = (self.scores.images(counts) for counts in (photons, batch.photons))
        terms = {
            "gate": config.gate_weight * gate,
            "reconstruction": config.reconstruction_weight * weighed(poisson_deviance(decoded, batch.photons)),
            "latent": config.latent_weight * weighed(energy_score(latents.reshape(draws, size, -1), target)),
            "channels": config.channel_weight * weighed(channel_score(sums, batch.channels, batch.log_energy)),
            "features": config.feature_weight
            * weighed(energy_score(features, simulated) + 0.3 * crps(features, simulated).sum(dim=1)),
            "image": config.image_weight * weighed(energy_score(images, image)),
        }
        usual = (expected.exp() * visible).detach()
        if config.mean_weight:
            pools = (light @ self.scores.pools for light in (visible_rates, batch.photons, usual))
            terms["mean"] = config.mean_weight * weighed(mean_score(*pools))
        if config.sum_weight:
            spread = usual.sum(dim=1)
            spread = (spread + 1.0).sqrt() + 0.1 * spread
            whole = (counts.sum(dim=-1, keepdim=True) / spread[:, None] for counts in (photons, batch.photons))
            terms["sum"] = config.sum_weight * weighed(crps(*whole)[:, 0])
        return ObjectiveTerms(terms)


def mean_score(generated: Tensor, simulated: Tensor, usual: Tensor) -> Tensor:
    """Squared errors of the mean of K generated responses in units of a typical variance, summed, shape (N,).

    The product of the errors of two different responses has the expectation (mean - y)^2: unlike the square of the
    error of the mean of K responses, it does not penalise their spread. The typical variance of a light m is
    m + 0.2 m^2.

    Parameters
    ----------
    generated, simulated, usual : Light of parts of a response, shapes (K, N, D), (N, D) and (N, D); `usual` gives the
        typical variance.
    """
    errors = generated - simulated
    draws = len(errors)
    products = (errors.sum(dim=0).square() - errors.square().sum(dim=0)) / (draws * (draws - 1))
    return (products / (0.1 + usual + 0.2 * usual.square())).sum(dim=1)


def poisson_deviance(rates: Tensor, counts: Tensor) -> Tensor:
    """Half the Poisson deviance of rates r and counts n, sum over units of r - n - n log(r / n); shape (N,)."""
    best = counts - torch.xlogy(counts, counts)
    return (rates - torch.xlogy(counts, rates + 1e-8) - best).sum(dim=1)


def channel_score(generated: Tensor, simulated: Tensor, log_energy: Tensor) -> Tensor:
    """Weighted CRPS of channel sums (K, N, C) and (N, C), shape (N,): in photons, and relative to the energy.

    The evaluation uses the CRPS in photons, to which bright showers contribute most. The relative terms give weight to
    faint showers.
    """
    scale = torch.exp(-log_energy[:, 0]).clamp(max=30.0)
    each = crps(generated, simulated).mean(dim=1)
    total = crps(generated.sum(dim=-1, keepdim=True), simulated.sum(dim=-1, keepdim=True))[:, 0]
    return each / 30.0 + each * scale / 40.0 + total * scale / 100.0
