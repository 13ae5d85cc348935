"""The fast generator: an autoencoder of responses on a coarse grid, with a generated latent.

Shapes: particles (N, 9) in the physical units of `zdc_detector.particles`, flying to +z; units (N, U) of
`CoarseFrame`; latents (N, latent). All networks have two hidden ReLU layers, all products are dense.
"""

import math

import torch
from torch import Tensor, nn
from zdc_detector.calorimeter import Calorimeter

from zdc_training.config.fast import FastModelConfig
from zdc_training.fast.coarse_frame import CoarseFrame, Entry
from zdc_training.fast.entry_features import EntryFeatures
from zdc_training.nn.learner import Generator
from zdc_training.nn.light import MAX_LOG_PHOTONS, STREAMS, FibreNumbers, light_line
from zdc_training.nn.normalisation import BatchNorm1d

#: Under the 65535 of the file layout.
MAX_PHOTONS = math.expm1(MAX_LOG_PHOTONS)

_FIRST_GATE = -2.0  # at the start 2 % of the particles leave no light


class FastAutoencoder(Generator):
    """Encoder, decoder, noise generator and gate.

    - The encoder sees a response and its conditions and gives a latent of unit variance over the batch.
    - The decoder gives a Poisson rate for each unit, from a latent and the conditions.
    - The noise generator gives a latent from noise and the conditions.
    - The gate gives t(conditions): with probability Phi(t) a particle leaves no light beyond what the Poisson counts
      explain, because it decayed or met nothing. A generated response is dark where its last number of noise is
      below t.

    Attributes
    ----------
    noise : Numbers of noise: `generator_noise` for the noise generator, those of `light.FibreNumbers`, the gate's.
    mean_rate : log of the mean photons per fibre and 300 GeV of each unit; rates are relative to it.
    """

    takes_pdg = True
    training_only = ("encoder", "normalise")
    mean_rate: Tensor

    def __init__(self, config: FastModelConfig, calorimeter: Calorimeter) -> None:
        super().__init__()
        self.noise, self.latent, self.clumping = config.noise, config.latent, config.clumping
        self.generator_noise = config.noise - STREAMS - 1
        self.frame = CoarseFrame(calorimeter, config.reach)
        self.features = EntryFeatures(config, calorimeter)
        self.fibre_numbers = FibreNumbers(calorimeter.shape)
        columns, width, units = self.features.columns, config.condition_width, self.frame.width
        self.conditions = nn.Sequential(nn.Linear(columns, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.noise_generator = _dense(width + self.generator_noise, config.generator_width, config.latent)
        self.decoder = _dense(width + config.latent, config.decoder_width, units, scale=0.1)
        self.gate = _dense(columns, config.gate_width, 1, bias=_FIRST_GATE)
        self.encoder = _dense(units + 1 + columns, config.encoder_width, config.latent)
        self.normalise = BatchNorm1d(config.latent, affine=False)
        self.register_buffer("mean_rate", torch.zeros(units))

    def encode(self, photons: Tensor, features: Tensor) -> Tensor:
        """Latents of photons per unit, shape (N, width)."""
        root = photons.sqrt()
        seen = [root / (3.0 + 0.1 * root), photons.sum(dim=1, keepdim=True).log1p() - 4.0, features]
        latents: Tensor = self.normalise(self.encoder(torch.cat(seen, dim=1)))
        return latents

    def generate(self, conditions: Tensor, noise: Tensor) -> Tensor:
        """Latents of noise (N, generator_noise) and what the layer `conditions` gave."""
        latents: Tensor = self.noise_generator(torch.cat([conditions, noise], dim=1))
        return latents

    def decode(self, conditions: Tensor, latents: Tensor, log_energy: Tensor) -> Tensor:
        """Photons per fibre of each unit, shape (N, width)."""
        relative = self.decoder(torch.cat([conditions, latents], dim=1))
        photons: Tensor = torch.exp((relative + self.mean_rate + log_energy).clamp(max=MAX_LOG_PHOTONS))
        return photons

    def read(self, particles: Tensor, pdg: Tensor) -> tuple[Entry, Tensor, Tensor]:
        """Entries, log energies (N, 1) and features of particles."""
        entry, log_energy = self.frame.entry(particles), self.features.log_energy(particles)
        return entry, log_energy, self.features(entry, log_energy, particles, pdg)

    def rates(self, particles: Tensor, noise: Tensor, *pdg: Tensor) -> Tensor:
        """Photons per fibre, shape (N, rows, columns), of particles, noise (N, noise) and PDG codes (N,).

        This is what is exported: everything from the particle to the face is inside.
        """
        entry, log_energy, features = self.read(particles, pdg[0])
        conditions = self.conditions(features)
        photons = self.decode(conditions, self.generate(conditions, noise[:, : self.generator_noise]), log_energy)
        # Chosen and not multiplied: far from the face the networks may say anything, and 0 times infinity is no 0.
        lit = (noise[:, -1:] > self.gate(features)) & (self.frame.geometry.hits_face(particles)[:, None] > 0)
        # What can be done for units is not done for fibres, of which there are three times as many.
        top, slope = (torch.where(lit, line, 0.0) for line in light_line(photons, self.clumping))
        numbers = self.fibre_numbers(noise[:, self.generator_noise : -1])
        units = self.frame.units_on_face(entry)
        top, slope = (
            torch.gather(line, 1, units).reshape(numbers.shape) for line in (top.clamp(max=MAX_PHOTONS), slope)
        )
        return torch.relu(top - slope * numbers)

    def describe_scaler(self) -> dict[str, object]:
        """See `Generator`."""
        return {"kind": "entry", "species": self.features.species.tolist()}


def _dense(into: int, width: int, out: int, *, scale: float = 1.0, bias: float = 0.0) -> nn.Sequential:
    """Two hidden layers; `scale` and `bias` are of the output at the start."""
    last = nn.Linear(width, out)
    with torch.no_grad():
        last.weight.mul_(scale)
        last.bias.fill_(bias)
    return nn.Sequential(nn.Linear(into, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), last)
