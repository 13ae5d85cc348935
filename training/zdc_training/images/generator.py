"""What the methods on whole images share: frame, scaling of the conditions, decoder, and rates on the face."""

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
    """Dense layers from noise and conditions to a latent, a decoder from there to an image.

    Shapes: responses (N, rows, columns) as log(1 + photons); latents (N, latent); noise (N, noise); particles (N, 9)
    in the physical units of `zdc_detector.particles`, for particles that fly to +z.

    Parameters
    ----------
    rates : The images are rates of Poisson counts, strictly above 0 by a softplus; else counts.
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
        """Let rates begin where nearly all fibres of a response are: dark, not at one photon each."""
        if self.output == "rate":
            nn.init.constant_(self.decoder.bias, _DARK)

    def log_photons(self, latents: Tensor) -> Tensor:
        """log(1 + photons) of each fibre of the frame, shape (N, rows, columns)."""
        images: Tensor = self.decoder(latents)
        return nn.functional.softplus(images) if self.output == "rate" else images

    def generate(self, noise: Tensor, conditions: Tensor) -> Tensor:
        """What is decoded, shape (N, latent), of standard normal noise and scaled conditions."""
        latents: Tensor = self.noise_generator(noise, conditions)
        return latents

    def to_frame(self, images: Tensor, particles: Tensor) -> tuple[Tensor, Tensor]:
        """What an encoder sees of images on the face, and which fibres of it count; shapes (N, rows, columns)."""
        if self.frame == "cell":
            return self.geometry.to_frame(images, particles)
        return images, torch.ones_like(images)

    def rates(self, particles: Tensor, noise: Tensor, *_: Tensor) -> Tensor:
        """Photons per fibre, shape (N, rows, columns), of particles (N, 9) in physical units and noise.

        This is what is exported: scaling, generation, expm1, clamping and the face are inside.
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
    """An image generator with an encoder, which is trained with it."""

    def encode(self, seen: Tensor, conditions: Tensor) -> Tensor:
        """What the encoder gives, latents first, for images in the frame and scaled conditions."""
        raise NotImplementedError

    def decode(self, latents: Tensor, conditions: Tensor) -> Tensor:
        """What `log_photons` takes for latents and scaled conditions, shape (N, latent)."""
        raise NotImplementedError

    def draw_latents(self, noise: Tensor, conditions: Tensor) -> Tensor:
        """Latents of generated responses, shape (N, latent), from standard normal noise and scaled conditions."""
        raise NotImplementedError
