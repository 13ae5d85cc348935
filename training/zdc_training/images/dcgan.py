"""The conditional deep convolutional GAN (paper, sections 2 and 4).

The paper gives neither its networks nor the way they take the conditions. Here the generator G has the noise generator
and the decoder of the e2eSAE, and the discriminator D has the convolutions of its encoder and as many dense layers.
As in DCGAN [1], convolutions have stride 2, the generator has batch normalisation, the discriminator has leaky ReLU,
images are bounded to the range of the data, and beta_1 of Adam is 0.5. With logits D, the losses are

    discriminator:  softplus(-D(x, c)) + softplus(D(G(n, c), c))
    generator:      softplus(-D(G(n, c), c))

Unlike DCGAN, the discriminator has spectral normalisation [2] instead of batch normalisation. With batch normalisation
of simulated and generated images separately, it could not see a difference in brightness. With both in one batch, it
won within 60 steps, and the generator then made 45 times too much light.

Simulated responses are integers, so a discriminator could recognise any rate that is not an integer. With the finish
`poisson`, it therefore sees Poisson counts drawn from the rates. The finish `round` has no gradient: there it sees the
rates themselves.

References
----------
[1] Radford, Metz and Chintala, "Unsupervised representation learning with deep convolutional generative adversarial
networks", arXiv 1511.06434.
[2] Miyato et al., "Spectral normalization for generative adversarial networks", arXiv 1802.05957.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.finish import Finish
from zdc_detector.showers import Showers

from zdc_training.config.images import DcganConfig, NoisyNetworkConfig
from zdc_training.images.generator import ImageGenerator
from zdc_training.images.learner import ImageLearner
from zdc_training.images.networks import Decoder, NoiseGenerator, image_sizes
from zdc_training.nn.distributed import normal, private, shared
from zdc_training.nn.learner import ObjectiveTerms, Player
from zdc_training.nn.light import MAX_LOG_PHOTONS, poisson_counts
from zdc_training.nn.method import Method
from zdc_training.nn.precision import rounded, widened

_LEAK = 0.2
_DARK = -5.0  # a sigmoid of it, times 6, is log(1 + 0.04 photons)


class Discriminator(nn.Module):
    """Logits of the probability that images are simulated, given their conditions; see the module."""

    def __init__(self, shape: tuple[int, int], channels: Sequence[int], conditions: int, hidden: Sequence[int]) -> None:
        super().__init__()
        widths = [1, *channels]
        layers = [
            layer
            for into, out in pairwise(widths)
            for layer in (spectral_norm(nn.Conv2d(into, out, 5, 2, 2)), nn.LeakyReLU(_LEAK))
        ]
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        rows, columns = image_sizes(shape, len(channels))[-1]
        widths = [widths[-1] * rows * columns + conditions, *hidden]
        dense = [
            layer
            for into, out in pairwise(widths)
            for layer in (spectral_norm(nn.Linear(into, out)), nn.LeakyReLU(_LEAK))
        ]
        self.dense = nn.Sequential(*dense, spectral_norm(nn.Linear(widths[-1], 1)))

    def forward(self, images: Tensor, *conditions: Tensor) -> Tensor:
        """Logits, shape (N,), from log(1 + photons) in the frame and, if the model is conditional, conditions."""
        maps = self.convolutions(images.unsqueeze(1))
        logits: Tensor = self.dense(torch.cat([maps, *conditions], dim=1))
        return widened(logits[:, 0])


class ConditionalGan(ImageGenerator):
    """Noise generator and decoder, and the discriminator that they are trained against; see the module.

    Attributes
    ----------
    largest : Upper bound of log(1 + photons) of images: the largest value in the training showers.
    """

    largest: Tensor
    training_only = ("discriminator",)

    def __init__(self, config: NoisyNetworkConfig, calorimeter: Calorimeter, *, rates: bool) -> None:
        super().__init__(config, calorimeter, config.noise, rates=rates)
        self.decoder = Decoder(calorimeter.shape, config.channels, config.latent)
        self.noise_generator = NoiseGenerator(config.noise, self.conditions, config.hidden, config.latent)
        self.discriminator = Discriminator(calorimeter.shape, config.channels, self.conditions, config.hidden)
        self.register_buffer("largest", torch.tensor(MAX_LOG_PHOTONS))
        nn.init.constant_(self.decoder.bias, _DARK)

    def log_photons(self, latents: Tensor) -> Tensor:
        """See `ImageGenerator`; values are between 0 and `largest`."""
        bounded: Tensor = self.largest * torch.sigmoid(self.decoder(latents))
        return bounded


class DcganLearner(ImageLearner[ConditionalGan]):
    """Two players: in each step, first the weights of the discriminator change, then those of the generator."""

    def __init__(self, config: DcganConfig, model: ConditionalGan, training: Showers, device: torch.device) -> None:
        model.largest.fill_(float(np.log1p(training.responses.max())))
        super().__init__(config, model, training, device)
        self.counts = config.output.finish is Finish.POISSON
        forger, judge = [model.noise_generator, model.decoder], model.discriminator
        self.precision = config.optimiser.precision
        self.forge = shared(lambda *inputs: model.log_photons(model.generate(*inputs)), forger, self.precision)
        self.judge_both = shared(
            lambda simulated, generated, *conditions: (judge(simulated, *conditions), judge(generated, *conditions)),
            [judge],
            self.precision,
        )
        momentum = config.loss.momentum
        self.players = (
            Player(list(judge.parameters()), config.loss.discriminator_rate, momentum),
            Player([weights for network in forger for weights in network.parameters()], 1.0, momentum),
        )

    def turns(
        self, rows: NDArray[np.intp], rng: np.random.Generator, noise: torch.Generator
    ) -> Iterator[ObjectiveTerms]:
        """See `Learner`."""
        model, softplus = self.model, nn.functional.softplus
        images, particles = self.batch(rows, rng)
        simulated, visible = model.to_frame(images, particles)
        scaled = model.scaler(particles)
        conditions = [scaled] if model.conditions else []
        generated = self.forge(normal(len(images), model.noise, noise), scaled)
        if self.counts:
            generated = poisson_counts(torch.expm1(generated), private(noise)).log1p()
        generated = generated * visible
        model.discriminator.requires_grad_(True)
        real, false = self.judge_both(simulated, generated.detach(), *conditions)
        yield ObjectiveTerms(simulated=softplus(-real).mean(), generated=softplus(false).mean())
        model.discriminator.requires_grad_(False)
        with rounded(self.device, self.precision):
            logits = model.discriminator(generated, *conditions)
        yield ObjectiveTerms(generator=softplus(-logits).mean())

    def figures(self, model: ConditionalGan, showers: Showers) -> dict[str, float]:  # noqa: ARG002
        """No figures: a GAN has no reconstruction."""
        return {}


def _build_model(config: DcganConfig, calorimeter: Calorimeter) -> ConditionalGan:
    return ConditionalGan(config.model, calorimeter, rates=config.output.finish is Finish.POISSON)


METHOD = Method(_build_model, DcganLearner)
