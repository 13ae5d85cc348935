"""The Sinkhorn autoencoder, whose latents follow a prior (paper, section 2)."""

import torch
from torch import Tensor

from zdc_training.config.images import SaeConfig
from zdc_training.images.losses import sinkhorn_divergence
from zdc_training.images.prior_autoencoders import PriorAutoencoder, PriorObjective, prior_method
from zdc_training.nn.distributed import gather


class SaeObjective(PriorObjective[SaeConfig]):
    """Reconstruction and the Sinkhorn divergence of encoded latents and samples of the prior.

    References
    ----------
    Patrini et al., "Sinkhorn autoencoders", arXiv 1810.01118; see `sinkhorn_divergence`.
    """

    def __init__(self, config: SaeConfig) -> None:
        super().__init__(config)
        self.divergence = sinkhorn_divergence(config.loss.blur, config.loss.scaling)

    def regularised(
        self, model: PriorAutoencoder, encoded: Tensor, noise: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `PriorObjective`."""
        del generator
        latents, prior = gather(encoded), gather(model.prior(noise))
        return encoded, {"sinkhorn": self.config.loss.sinkhorn_weight * self.divergence(latents, prior)}


METHOD = prior_method(SaeObjective, on_sphere=lambda config: config.model.prior == "hypersphere")
