"""The Wasserstein autoencoder with MMD, conditional in encoder and decoder (paper, section 2)."""

import torch
from torch import Tensor

from zdc_training.config.images import WaeConfig
from zdc_training.images.losses import mean_discrepancy
from zdc_training.images.prior_autoencoders import PriorAutoencoder, PriorObjective, prior_method
from zdc_training.nn.distributed import gather


class WaeObjective(PriorObjective[WaeConfig]):
    """Reconstruction and the squared maximum mean discrepancy of encoded latents and samples of the prior.

    References
    ----------
    Tolstikhin et al., "Wasserstein auto-encoders", arXiv 1711.01558, algorithm 2; see `mean_discrepancy`.
    """

    def regularised(
        self, model: PriorAutoencoder, encoded: Tensor, noise: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `PriorObjective`."""
        del generator
        latents, prior = gather(encoded), gather(model.prior(noise))
        return encoded, {"mmd": self.config.loss.mmd_weight * mean_discrepancy(latents, prior)}


METHOD = prior_method(WaeObjective)
