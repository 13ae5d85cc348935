"""Base classes of the methods on whole images: frame, scaling of the conditions, decoder, and rates on the face."""

import torch
from torch import Tensor, nn
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import CONDITIONS

from zdc_training.config.images import NetworkConfig
from zdc_training.images.networks import Decoder, NoiseGenerator
from zdc_training.nn.geometry import ConditionScaler, FaceGeometry
from zdc_training.nn.learner import Generator
from zdc_training.nn.light import MAX_LOG_PHOTONS

_DARK = -3.0  # softplus of it is log(1 + 0.05 photons)


class ImageGenerator(Generator):
    """Dense layers from noise and conditions to a latent, and a decoder from the latent to an image.

    With noise n, scaled conditions c, noise generator G and decoder D, the photons of a response are

        x = exp(D(G(n, c))) - 1.

    Shapes: responses (N, rows, columns) as log(1 + photons); latents (N, latent); noise (N, noise); particles (N, 9)
    in the physical units of `zdc_detector.particles`, for particles that fly to +z.

    Parameters
    ----------
    rates : The images are means of Poisson counts, positive through a softplus; otherwise, they are counts.
    """

    training_only = ("encoder",)
    foldable = ("decoder.layers",)

    decoder: Decoder
    noise_generator: NoiseGenerator

    def __init__(self, config: NetworkConfig, calorimeter: Calorimeter, noise: int, *, rates: bool) -> None:
        super().__init__()
        self.noise, self.latent = noise, config.latent
        self.output = "rate" if rates else "count"
        self.frame = config.frame
        self.conditions = len(CONDITIONS) if config.conditional else 0
        self.geometry = FaceGeometry(calorimeter)
        self.scaler = ConditionScaler(config.scaling, self.geometry)

    def start_dark(self) -> None:
        """Set the bias of the decoder so that untrained rates are nearly 0, as most fibres of a response are."""
        if self.output == "rate":
            nn.init.constant_(self.decoder.bias, _DARK)

    def log_photons(self, latents: Tensor) -> Tensor:
        """log(1 + photons) of each fibre of the frame, shape (N, rows, columns)."""
        images: Tensor = self.decoder(latents)
        return nn.functional.softplus(images) if self.output == "rate" else images

    def generate(self, noise: Tensor, conditions: Tensor) -> Tensor:
        """The input of the decoder, shape (N, latent), from standard normal noise and scaled conditions."""
        latents: Tensor = self.noise_generator(noise, conditions)
        return latents

    def to_frame(self, images: Tensor, particles: Tensor) -> tuple[Tensor, Tensor]:
        """Images in the frame, and 1 for fibres on the face, else 0; shapes (N, rows, columns)."""
        if self.frame == "cell":
            return self.geometry.to_frame(images, particles)
        return images, torch.ones_like(images)

    def rates(self, particles: Tensor, noise: Tensor, *_: Tensor) -> Tensor:
        """Photons per fibre, shape (N, rows, columns), of particles (N, 9) in physical units and noise (N, noise).

        See `Generator`; includes scaling, generation, expm1, clamping and the shift to the face.
        """
        latents = self.generate(noise, self.scaler(particles))
        photons = torch.expm1(self.log_photons(latents).clamp(0.0, MAX_LOG_PHOTONS))
        if self.frame == "cell":
            photons = self.geometry.to_face(photons, particles)
        return photons * self.geometry.hits_face(particles)[:, None, None]

    def describe_scaler(self) -> dict[str, object]:
        """See `Generator`."""
        return {
            "kind": self.scaler.scaling,
            "mean": self.scaler.mean.tolist(),
            "scale": self.scaler.scale.tolist(),
        }


class ImageAutoencoder(ImageGenerator):
    """An image generator that is trained together with an encoder."""

    def encode(self, seen: Tensor, conditions: Tensor) -> Tensor:
        """Output of the encoder for images in the frame and scaled conditions; latents are its first columns."""
        raise NotImplementedError

    def decode(self, latents: Tensor, conditions: Tensor) -> Tensor:
        """The input of `log_photons`, shape (N, latent), for latents and scaled conditions."""
        raise NotImplementedError

    def draw_latents(self, noise: Tensor, conditions: Tensor) -> Tensor:
        """Latents of generated responses, shape (N, latent), from standard normal noise and scaled conditions."""
        raise NotImplementedError
