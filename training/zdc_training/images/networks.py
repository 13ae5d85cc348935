"""The networks that all image models are built of (paper, section 4): encoder, decoder and dense layers.

Whatever the precision of the products, what they give is float32.
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
    """Four 5x5 convolutions of stride 2 with batch normalisation and ReLU, then one linear layer.

    Parameters
    ----------
    conditions : Numbers that the linear layer reads beside the feature maps.
    normalise : Normalise what comes out over the batch to unit variance. Where nothing else holds a latent in size, a
        Sinkhorn term would shrink it below the blur, where the divergence sees nothing.
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
        """Latents, shape (N, latent), of images, shape (N, rows, columns), and of conditions, where it has them."""
        maps = self.convolutions(images.unsqueeze(1))
        latents: Tensor = self.normalise(self.last(torch.cat([maps, *conditions], dim=1)))
        return widened(latents)


class Decoder(nn.Module):
    """The encoder backwards: one linear layer, then four 5x5 transposed convolutions of stride 2."""

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
            # A size that was odd came from ceil(n / 2): the padding of the output tells the two apart.
            extra = (large[0] - 2 * small[0] + 1, large[1] - 2 * small[1] + 1)
            last = i == len(channels) - 1
            layers.append(nn.ConvTranspose2d(widths[i], width, 5, 2, 2, extra, bias=last))
            if not last:
                layers += [BatchNorm2d(width), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    @property
    def bias(self) -> Tensor:
        """Added to every fibre of the image, shape (1,)."""
        bias = self.layers[-1].bias
        assert isinstance(bias, Tensor)
        return bias

    def forward(self, latents: Tensor) -> Tensor:
        """Images, shape (N, rows, columns); `ImageGenerator.log_photons` gives them their meaning."""
        images: Tensor = self.layers(latents)
        return widened(images.squeeze(1))


class NoiseGenerator(nn.Module):
    """Noise and scaled conditions, two separate inputs, to latents: three hidden ReLU layers.

    Without conditions (`conditions` = 0) it is the unconditional form of section 3.2. Methods that decode their noise
    have the same layers as the first ones of their decoder, so that all have equal means to read the conditions.
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
