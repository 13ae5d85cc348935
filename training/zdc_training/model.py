"""The conditional end-to-end Sinkhorn autoencoder: encoder, decoder and noise generator (paper, sections 3-4).

Shapes: responses (N, rows, columns) as log(1 + photons); latents (N, latent); noise (N, noise);
conditions (N, 9) in the physical units of `zdc_detector.particles`, for particles that fly to +z.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import CONDITIONS, ENERGY, MASS, PX, PY, PZ, VX, VY, VZ

from zdc_training.config import ModelConfig
from zdc_training.learner import Generator

#: log(1 + photons) is clamped here: exp(11) - 1 = 59873 photons a fibre, under the 65535 of the file layout.
MAX_LOG_PHOTONS = 11.0

#: Beyond it [cm] a vertex acts through the impact point alone: no network has seen what the angle does out there.
_FURTHEST_VZ = 22.5

_DARK = -3.0  # softplus of it is log(1 + 0.05 photons)


class FaceGeometry(nn.Module):
    """The straight line to the face, and images in the frame of the cell that it meets.

    In the frame of a cell a response of R x C fibres is shifted so that the cell stands at (R // 2, C // 2);
    fibres of the frame that lie off the face are invisible. Shifts are whole fibres, so nothing is interpolated.
    """

    half_width: Tensor
    fibres: Tensor
    frame_index: Tensor
    face_index: Tensor

    def __init__(self, calorimeter: Calorimeter) -> None:
        super().__init__()
        self.face_z = calorimeter.face_z
        self.shape = rows, columns = calorimeter.shape
        self.pad = (rows // 2, columns // 2)
        self._stride = columns + 2 * self.pad[1]
        self.register_buffer("half_width", torch.tensor(calorimeter.half_width, dtype=torch.float32))
        self.register_buffer("fibres", torch.tensor(calorimeter.shape, dtype=torch.float32))
        grid = torch.arange(rows)[:, None] * self._stride + torch.arange(columns)
        home = 2 * (self.pad[0] * self._stride + self.pad[1])
        self.register_buffer("frame_index", grid.reshape(1, -1), persistent=False)
        self.register_buffer("face_index", (grid + home).reshape(1, -1), persistent=False)

    def impact_point(self, conditions: Tensor) -> Tensor:
        """Where the straight line meets the plane of the face [cm], shape (N, 2)."""
        path = (self.face_z - conditions[:, VZ]) / conditions[:, PZ]
        return torch.stack(
            [conditions[:, VX] + conditions[:, PX] * path, conditions[:, VY] + conditions[:, PY] * path], dim=1
        )

    def hits_face(self, conditions: Tensor) -> Tensor:
        """1 where the straight line meets the face, else 0, shape (N,)."""
        inside = self.impact_point(conditions).abs() < self.half_width
        return (inside[:, 0] & inside[:, 1]).to(conditions.dtype)

    def cell(self, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """Row and column of the fibre cell that is hit, and where in it, from -1 to 1; shapes (N, 2)."""
        position = (self.impact_point(conditions) / self.half_width + 1.0) * (self.fibres / 2)
        index = torch.minimum(position.floor().clamp(min=0.0), self.fibres - 1.0)
        return index, 2.0 * (position - index) - 1.0

    def to_frame(self, images: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """Images on the face to the frame of the cell, and which of its fibres are visible; shapes (N, R, C)."""
        offset = self._offset(conditions)
        visible = self._window(torch.ones_like(images), self.frame_index + offset)
        return self._window(images, self.frame_index + offset), visible

    def to_face(self, images: Tensor, conditions: Tensor) -> Tensor:
        """Images in the frame of the cell back to the face, cropped, shape (N, R, C)."""
        return self._window(images, self.face_index - self._offset(conditions))

    def _offset(self, conditions: Tensor) -> Tensor:
        index = self.cell(conditions)[0].to(torch.int64)
        return index[:, :1] * self._stride + index[:, 1:]

    def _window(self, images: Tensor, index: Tensor) -> Tensor:
        rows, columns = self.pad
        padded = nn.functional.pad(images, (columns, columns, rows, rows)).flatten(1)
        return torch.gather(padded, 1, index).reshape(-1, *self.shape)


class ConditionScaler(nn.Module):
    """Nine conditions to nine numbers of order one.

    ``linear`` standardises the nine with the training set's mean and standard deviation (constant columns get
    1). ``face`` and ``cell`` first put what the physics sees in the place of what the vertex and the momentum
    say: log E and log pz for E and pz; the impact point for px, py; vx, vy in half widths and vz in hundredths of
    the distance, so a beam that is off by a millimetre stays a small number. ``cell`` splits the impact point into
    the fibre cell, in the place of vx, vy, and the position within that cell: the vertex acts through them alone,
    and vz.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, scaling: str, geometry: FaceGeometry) -> None:
        super().__init__()
        self.scaling = scaling
        self.geometry = geometry
        self.register_buffer("mean", torch.zeros(len(CONDITIONS)))
        self.register_buffer("scale", torch.ones(len(CONDITIONS)))

    def transformed(self, conditions: Tensor) -> Tensor:
        """The nine columns before standardisation, shape (N, 9)."""
        if self.scaling == "linear":
            return conditions
        geometry = self.geometry
        if self.scaling == "cell":
            index, within = geometry.cell(conditions)
            place, point = (index + 0.5) / geometry.fibres * 2.0 - 1.0, within
        else:
            place = conditions[:, VX : VY + 1] / geometry.half_width
            point = geometry.impact_point(conditions) / geometry.half_width
        # onnxruntime takes the last few elements of a tensor through other code than the rest. Sixteen columns leave
        # no such rest for any number of rows, so that a particle's logarithm does not depend on who else is asked for.
        logarithms = torch.stack([conditions[:, ENERGY], conditions[:, PZ]] * 8, dim=1).log()
        along = conditions[:, VZ, None].clamp(-_FURTHEST_VZ, _FURTHEST_VZ) * (100.0 / geometry.face_z)
        return torch.cat([logarithms[:, :1], place, along, point, logarithms[:, 1:2], conditions[:, MASS:]], dim=1)

    @torch.no_grad()
    def fit(self, conditions: Tensor) -> None:
        """Take mean and standard deviation from training conditions, shape (N, 9)."""
        columns = self.transformed(conditions).double()
        deviation = columns.std(dim=0, correction=0)
        self.mean.copy_(columns.mean(dim=0))
        self.scale.copy_(torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation)))
        if self.scaling != "linear":
            # Positions and the vertex have their scale from the geometry: symmetric about 0, never tiny.
            self.mean[VX:PZ] = 0.0
            self.scale[VX:PZ] = 1.0

    def forward(self, conditions: Tensor) -> Tensor:
        """Scaled conditions, shape (N, 9)."""
        scaled: Tensor = (self.transformed(conditions) - self.mean) / self.scale
        return scaled


def _sizes(shape: tuple[int, int], layers: int) -> list[tuple[int, int]]:
    """Image sizes before and after each convolution of stride 2."""
    sizes = [shape]
    for _ in range(layers):
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    return sizes


class Encoder(nn.Module):
    """Four 5x5 convolutions of stride 2 with batch normalisation and ReLU, then one linear layer.

    The latent is normalised over the batch to unit variance: the Sinkhorn term alone would shrink it below
    the blur, where the divergence sees nothing.
    """

    def __init__(self, shape: tuple[int, int], channels: Sequence[int], latent: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        previous = 1
        for width in channels:
            layers += [nn.Conv2d(previous, width, 5, 2, 2, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            previous = width
        rows, columns = _sizes(shape, len(channels))[-1]
        self.last = nn.Linear(previous * rows * columns, latent)
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        self.normalise = nn.BatchNorm1d(latent, affine=False)

    def forward(self, images: Tensor) -> Tensor:
        """Latents, shape (N, latent), of log(1 + photons), shape (N, rows, columns)."""
        latents: Tensor = self.normalise(self.last(self.convolutions(images.unsqueeze(1))))
        return latents


class Decoder(nn.Module):
    """The encoder backwards: one linear layer, then four 5x5 transposed convolutions of stride 2."""

    def __init__(self, shape: tuple[int, int], channels: Sequence[int], latent: int) -> None:
        super().__init__()
        sizes = _sizes(shape, len(channels))
        rows, columns = sizes[-1]
        widths = [*reversed(channels), 1]
        layers: list[nn.Module] = [
            nn.Linear(latent, widths[0] * rows * columns, bias=False),
            nn.BatchNorm1d(widths[0] * rows * columns),
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
                layers += [nn.BatchNorm2d(width), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    @property
    def bias(self) -> Tensor:
        """Added to every fibre of the image, shape (1,)."""
        bias = self.layers[-1].bias
        assert isinstance(bias, Tensor)
        return bias

    def forward(self, latents: Tensor) -> Tensor:
        """Images, shape (N, rows, columns); `SinkhornAutoencoder.log_photons` gives them their meaning."""
        images: Tensor = self.layers(latents)
        return images.squeeze(1)


class NoiseGenerator(nn.Module):
    """Noise and scaled conditions, two separate inputs, to latents: three hidden ReLU layers.

    Without conditions (`conditions` = 0) it is the unconditional form of section 3.2.
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
        return latents


class SinkhornAutoencoder(Generator):
    """Encoder, decoder and noise generator, trained together (eq. 7), conditional (eq. 8) or not."""

    def __init__(self, config: ModelConfig, calorimeter: Calorimeter, positive: bool = False) -> None:
        super().__init__()
        self.noise = config.noise
        self.positive = positive
        conditions = len(CONDITIONS) if config.conditional else 0
        self.frame = config.frame
        self.geometry = FaceGeometry(calorimeter)
        self.scaler = ConditionScaler(config.scaling, self.geometry)
        self.encoder = Encoder(calorimeter.shape, config.channels, config.latent)
        self.decoder = Decoder(calorimeter.shape, config.channels, config.latent)
        self.noise_generator = NoiseGenerator(config.noise, conditions, config.hidden, config.latent)

        if positive:
            # Nearly all fibres of a response are dark: start there instead of at one photon each.
            nn.init.constant_(self.decoder.bias, _DARK)

    def log_photons(self, latents: Tensor) -> Tensor:
        """log(1 + photons) of each fibre of the frame, shape (N, rows, columns); with `positive` strictly above 0."""
        images: Tensor = self.decoder(latents)
        return nn.functional.softplus(images) if self.positive else images

    def to_frame(self, images: Tensor, particles: Tensor) -> tuple[Tensor, Tensor]:
        """What the encoder sees of images on the face, and which fibres of it count; shapes (N, rows, columns)."""
        if self.frame == "cell":
            return self.geometry.to_frame(images, particles)
        return images, torch.ones_like(images)

    def rates(self, particles: Tensor, noise: Tensor, *_: Tensor) -> Tensor:
        """Photons per fibre, shape (N, rows, columns), of particles (N, 9) in physical units and noise.

        This is what is exported: scaling, generation, expm1, clamping and the face are inside.
        """
        latents = self.noise_generator(noise, self.scaler(particles))
        photons = torch.expm1(self.log_photons(latents).clamp(0.0, MAX_LOG_PHOTONS))
        if self.frame == "cell":
            photons = self.geometry.to_face(photons, particles)
        return photons * self.geometry.hits_face(particles)[:, None, None]
