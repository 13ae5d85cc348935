"""The sliced Wasserstein autoencoder (paper, section 2)."""

import torch
from torch import Tensor

from zdc_training.config.images import SwaeConfig
from zdc_training.images.losses import sliced_distance
from zdc_training.images.prior_autoencoders import PriorAutoencoder, PriorObjective, prior_method
from zdc_training.nn.distributed import gather


class SwaeObjective(PriorObjective[SwaeConfig]):
    """Reconstruction and the squared sliced Wasserstein distance of encoded latents and samples of the prior.

    References
    ----------
    Kolouri et al., "Sliced-Wasserstein autoencoder", arXiv 1804.01947; see `sliced_distance`.
    """

    def regularised(
        self, model: PriorAutoencoder, encoded: Tensor, noise: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `PriorObjective`."""
        latents, prior = gather(encoded), gather(model.prior(noise))
        # The same directions in every process.
        projections = self.config.loss.projections
        directions = torch.randn(projections, model.noise, generator=generator, device=generator.device)
        return encoded, {"sliced": self.config.loss.sliced_weight * sliced_distance(latents, prior, directions)}


METHOD = prior_method(SwaeObjective)
