"""The variational autoencoder, conditional in encoder and decoder (paper, sections 1-2)."""

import torch
from torch import Tensor

from zdc_training.config.images import VaeConfig
from zdc_training.images.prior_autoencoders import PriorAutoencoder, PriorObjective, prior_method


class VaeObjective(PriorObjective[VaeConfig]):
    """Reconstruction and the divergence of each shower's posterior from the prior.

    The encoder gives the mean m and log s^2 of a normal posterior; a sample m + s * noise of it is decoded. The term,
    summed over the latent and averaged over the batch, is

        KL(N(m, s^2) | N(0, 1)) = 1/2 sum (m^2 + s^2 - 1 - log s^2).

    References
    ----------
    Kingma and Welling, "Auto-encoding variational Bayes", arXiv 1312.6114, appendix B.
    Sohn, Lee and Yan, "Learning structured output representation using deep conditional generative models", NIPS 2015.
    """

    def regularised(
        self, model: PriorAutoencoder, encoded: Tensor, noise: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `PriorObjective`."""
        del model, generator
        mean, log_variance = encoded.chunk(2, dim=1)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(dim=1).mean()
        return mean + (0.5 * log_variance).exp() * noise, {"kl": self.config.loss.kl_weight * divergence}


METHOD = prior_method(VaeObjective, spread=True)
