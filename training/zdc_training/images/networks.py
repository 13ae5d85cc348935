"""The networks of all image models (paper, section 4): encoder, decoder and dense layers.

Their outputs are float32 in every precision of the products.
Shapes: images (N, rows, columns) as log(1 + photons); latents (N, latent); noise (N, noise); scaled conditions (N, 9).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zdc_training.nn.normalisation import BatchNorm1d, BatchNorm2d
from zdc_training.nn.precision import widened


def image_sizes(shape: tuple[int, int], layers: int) -> list[tuple[int, int]]:
    """Image sizes before and after each convolution of stride 2."""
    sizes = [shape]
    for _ in range(layers):
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    return sizes


class Encoder(nn.Module):
    """Convolutions (5 x 5, stride 2) with batch normalisation and ReLU, then one linear layer.

    Parameters
    ----------
    shape : Rows and columns of the images.
    channels : Feature maps of each convolution.
    latent : Dimension of the output.
    conditions : Number of conditions that the linear layer takes in addition to the feature maps.
    normalise : Normalise the output to unit variance over the batch. Otherwise a Sinkhorn term can shrink the latents
        below the blur, where the divergence cannot distinguish them.

    References
    ----------
    Tolstikhin et al., "Wasserstein auto-encoders", arXiv 1711.01558, whose networks the paper follows (section 4).
    """

    def __init__(
        self,
        shape: tuple[int, int],
        channels: Sequence[int],
        latent: int,
        *,
        conditions: int = 0,
        normalise: bool = True,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        previous = 1
        for width in channels:
            layers += [nn.Conv2d(previous, width, 5, 2, 2, bias=False), BatchNorm2d(width), nn.ReLU()]
            previous = width
        rows, columns = image_sizes(shape, len(channels))[-1]
        self.last = nn.Linear(previous * rows * columns + conditions, latent)
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        self.normalise = BatchNorm1d(latent, affine=False) if normalise else nn.Identity()

    def forward(self, images: Tensor, *conditions: Tensor) -> Tensor:
        """Latents, shape (N, latent), of images (N, rows, columns) and, if the encoder has them, conditions (N, C)."""
        maps = self.convolutions(images.unsqueeze(1))
        latents: Tensor = self.normalise(self.last(torch.cat([maps, *conditions], dim=1)))
        return widened(latents)


class Decoder(nn.Module):
    """The encoder in reverse: one linear layer, then transposed convolutions (5 x 5, stride 2).

    Each layer but the last has batch normalisation and ReLU. Parameters are those of `Encoder`.
    """

    def __init__(self, shape: tuple[int, int], channels: Sequence[int], latent: int) -> None:
        super().__init__()
        sizes = image_sizes(shape, len(channels))
        rows, columns = sizes[-1]
        widths = [*reversed(channels), 1]
        layers: list[nn.Module] = [
            nn.Linear(latent, widths[0] * rows * columns, bias=False),
            BatchNorm1d(widths[0] * rows * columns),
            nn.ReLU(),
            nn.Unflatten(1, (widths[0], rows, columns)),
        ]
        for i, width in enumerate(widths[1:]):
            small, large = sizes[-1 - i], sizes[-2 - i]
            # Sizes are halved by ceil(n / 2): the output padding distinguishes odd and even sizes.
            extra = (large[0] - 2 * small[0] + 1, large[1] - 2 * small[1] + 1)
            last = i == len(channels) - 1
            layers.append(nn.ConvTranspose2d(widths[i], width, 5, 2, 2, extra, bias=last))
            if not last:
                layers += [BatchNorm2d(width), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    @property
    def bias(self) -> Tensor:
        """The bias of the last layer, which is added to every fibre, shape (1,)."""
        bias = self.layers[-1].bias
        assert isinstance(bias, Tensor)
        return bias

    def forward(self, latents: Tensor) -> Tensor:
        """Images, shape (N, rows, columns), of latents (N, latent); see `ImageGenerator.log_photons`."""
        images: Tensor = self.layers(latents)
        return widened(images.squeeze(1))


class NoiseGenerator(nn.Module):
    """A multilayer perceptron with ReLU from noise n and scaled conditions c, concatenated, to latents G(n, c).

    Without conditions (`conditions` = 0), it is the unconditional noise generator of section 3.2 of the paper. Methods
    with a prior have the same layers as the first layers of their decoder, so all methods process the conditions with
    equal capacity.
    """

    def __init__(self, noise: int, conditions: int, hidden: Sequence[int], latent: int) -> None:
        super().__init__()
        self.conditional = conditions > 0
        layers: list[nn.Module] = []
        previous = noise + conditions
        for width in hidden:
            layers += [nn.Linear(previous, width), nn.ReLU()]
            previous = width
        self.layers = nn.Sequential(*layers, nn.Linear(previous, latent))

    def forward(self, noise: Tensor, conditions: Tensor) -> Tensor:
        """Latents, shape (N, latent), of noise (N, noise) and scaled conditions (N, 9)."""
        inputs = torch.cat([noise, conditions], dim=1) if self.conditional else noise
        latents: Tensor = self.layers(inputs)
        return widened(latents)
