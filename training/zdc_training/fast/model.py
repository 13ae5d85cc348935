"""The fast generator: an autoencoder of responses on a coarse grid, with a generated latent.

Shapes: particles (N, 9) in the physical units of `zdc_detector.particles`, flying to +z; units (N, U) of
`CoarseFrame`; latents (N, latent). All networks are multilayer perceptrons with two hidden ReLU layers.
"""

import math

import torch
from torch import Tensor, nn
from zdc_detector.calorimeter import Calorimeter

from zdc_training.config.fast import FastModelConfig
from zdc_training.fast.block_features import BlockFeatures
from zdc_training.fast.coarse_frame import CoarseFrame, FaceEntry
from zdc_training.fast.crossings import whole_rows
from zdc_training.fast.entry_features import EntryFeatures
from zdc_training.fast.profile import LightProfile
from zdc_training.fast.species_columns import species_columns
from zdc_training.nn.learner import Generator
from zdc_training.nn.light import MAX_LOG_PHOTONS, STREAMS, FibreNumbers, clumping_of, light_line
from zdc_training.nn.normalisation import BatchNorm1d

#: Largest photons of a fibre; the file layout allows 65535.
MAX_PHOTONS = math.expm1(MAX_LOG_PHOTONS)

#: Weights of the layers whose last columns are those of the species.
_READ_SPECIES = ("conditions.0.weight", "gate.0.weight", "encoder.0.weight")
_FIRST_GATE = -2.0  # at the start, the gate is closed for 2 % of the particles


class FastAutoencoder(Generator):
    """Encoder, decoder, noise generator and gate.

    With features c of a particle (`EntryFeatures` or `BlockFeatures`), counts x per unit and noise n:

    - The encoder gives a latent z = E(x, c) with unit variance over the batch.
    - The decoder gives the rate of each unit, exp(D(z, c) + mean_rate + log(E / 300 GeV)). With ``entry = "block"``, E
      is the released energy, and there is one `mean_rate` for hadrons and one for electromagnetic showers.
    - The noise generator gives a latent G(n, c).
    - The gate gives t(c): with probability Phi(t), the normal distribution function, a particle gives no light because
      it decayed or hit no material. A generated response is empty if the last number of the noise is below t. With
      ``entry = "block"``, t is for particles that reach the face, and the decays before it are computed.

    A generated response has the rates D(G(n, c), c), spread over the fibres by `zdc_training.nn.light`. With ``entry =
    "block"``, the fibres of a coarse unit share its light as `LightProfile` says.

    Attributes
    ----------
    noise : Dimension of the noise: `generator_noise` numbers for the noise generator, two for `FibreNumbers`, one for
        the gate.
    mean_rate : Logarithm of the mean photons per fibre and 300 GeV in each unit, shape (U,), or for hadrons and
        electromagnetic showers, shape (2, U).
    profile : Shares of the light of coarse units; None with ``entry = "face"``.
    """

    takes_pdg = True
    training_only = ("encoder", "normalise")
    mean_rate: Tensor

    def __init__(self, config: FastModelConfig, calorimeter: Calorimeter) -> None:
        super().__init__()
        self.noise, self.latent = config.noise, config.latent
        self.clumping, self.knee = config.clumping, config.clumping_knee
        self.generator_noise = config.noise - STREAMS - 1
        self.frame = CoarseFrame(calorimeter, config.reach)
        features = BlockFeatures if config.entry == "block" else EntryFeatures
        self.features: BlockFeatures | EntryFeatures = features(config, calorimeter)
        self.profile = LightProfile(self.frame) if config.entry == "block" else None
        self.fibre_numbers = FibreNumbers(calorimeter.shape)
        columns, width, units = self.features.columns, config.condition_width, self.frame.width
        self.conditions = nn.Sequential(nn.Linear(columns, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.noise_generator = _dense(width + self.generator_noise, config.generator_width, config.latent)
        self.decoder = _dense(width + config.latent, config.decoder_width, units, scale=0.1)
        self.gate = _dense(columns, config.gate_width, 1, bias=_FIRST_GATE)
        self.encoder = _dense(units + 1 + columns, config.encoder_width, config.latent)
        self.normalise = BatchNorm1d(config.latent, affine=False)
        self.register_buffer("mean_rate", torch.zeros(2, units) if self.profile else torch.zeros(units))

    def encode(self, photons: Tensor, features: Tensor) -> Tensor:
        """Latents of photons per unit (N, U)."""
        root = photons.sqrt()
        seen = [root / (3.0 + 0.1 * root), photons.sum(dim=1, keepdim=True).log1p() - 4.0, features]
        latents: Tensor = self.normalise(self.encoder(torch.cat(seen, dim=1)))
        return latents

    def generate(self, conditions: Tensor, noise: Tensor) -> Tensor:
        """Latents from noise (N, generator_noise) and the output of the layers `conditions`."""
        latents: Tensor = self.noise_generator(torch.cat([conditions, noise], dim=1))
        return latents

    @staticmethod
    def electromagnetic(features: Tensor) -> Tensor:
        """1 for electromagnetic showers, else 0, from the features of `BlockFeatures`, shape (N, 1)."""
        return features[:, BlockFeatures.electromagnetic, None]

    def expected(self, features: Tensor, log_energy: Tensor) -> Tensor:
        """Logarithm of the rates before the decoder changes them, shape (N, U)."""
        if self.profile is None:
            return self.mean_rate + log_energy
        kind = self.electromagnetic(features)
        return (1.0 - kind) * self.mean_rate[:1] + kind * self.mean_rate[1:] + log_energy

    def decode(self, conditions: Tensor, latents: Tensor, expected: Tensor) -> Tensor:
        """Photons per fibre in each unit, shape (N, U), from the output of `expected`."""
        relative = self.decoder(torch.cat([conditions, latents], dim=1))
        photons: Tensor = torch.exp((relative + expected).clamp(max=MAX_LOG_PHOTONS))
        return photons

    def dark(self, features: Tensor) -> Tensor:
        """Probability that a particle gives no light for another reason than a low rate, shape (N, 1)."""
        dark: Tensor = torch.special.ndtr(self.gate(features))
        return dark if self.profile is None else 1.0 - features[:, BlockFeatures.survival, None] * (1.0 - dark)

    def read(self, particles: Tensor, pdg: Tensor) -> tuple[FaceEntry, Tensor, Tensor]:
        """Entries, log energies (N, 1) and features of particles."""
        entry, log_energy = self.frame.entry(particles), self.features.log_energy(particles, pdg)
        return entry, log_energy, self.features(entry, log_energy, particles, pdg)

    def rates(self, particles: Tensor, noise: Tensor, *pdg: Tensor) -> Tensor:
        """See `Generator`."""
        entry, log_energy, features = self.read(particles, pdg[0])
        conditions = self.conditions(features)
        latents = self.generate(conditions, noise[:, : self.generator_noise])
        photons = self.decode(conditions, latents, self.expected(features, log_energy))
        # Computed for units where possible: there are three times as many fibres. torch.where instead of a product: far
        # from the face the networks may give infinity, and 0 * infinity is NaN.
        lit = self._lit(entry, features, particles, noise[:, -1:])
        lines = light_line(photons, clumping_of(photons, self.clumping, self.knee))
        top, slope = (torch.where(lit, line, 0.0) for line in lines)
        numbers = self.fibre_numbers(noise[:, self.generator_noise : -1])
        units = self.frame.units_on_face(entry)
        top, slope = (
            torch.gather(line, 1, units).reshape(numbers.shape) for line in (top.clamp(max=MAX_PHOTONS), slope)
        )
        light: Tensor = torch.relu(top - slope * numbers)
        if self.profile is None:
            return light
        shared: Tensor = light * self.profile(entry, self.electromagnetic(features))
        return shared

    def _lit(self, entry: FaceEntry, features: Tensor, particles: Tensor, noise: Tensor) -> Tensor:
        """Which particles give light, shape (N, 1), from a number of noise for each (N, 1)."""
        drawn: Tensor
        if isinstance(self.features, BlockFeatures):
            drawn = torch.special.ndtr(whole_rows(noise))[:, :1] > self.dark(features)
            return drawn & self.features.reaches(entry, particles)
        drawn = noise > self.gate(features)
        return drawn & (self.frame.geometry.hits_face(particles)[:, None] > 0)

    def adapted(self, source: Generator) -> dict[str, Tensor]:
        """See `Generator`; first layers that read the species get the columns of this list of species."""
        state = super().adapted(source)
        assert isinstance(source, FastAutoencoder)
        if self.profile is not None:
            # Traits are the same for every list. The shares are those of a face: another face keeps its own.
            shape, name = self.profile.windows.shape, "profile.windows"
            return {key: value for key, value in state.items() if key != name or value.shape == shape}
        theirs, ours = source.features.species.tolist(), self.features.species.tolist()
        for name in _READ_SPECIES:
            state[name] = species_columns(state[name], theirs, ours)
        return state

    def scale_light(self, factor: float) -> bool:
        """See `Generator`."""
        with torch.no_grad():
            self.mean_rate.add_(math.log(factor))
        return True

    def describe_scaler(self) -> dict[str, object]:
        """See `Generator`."""
        return {"kind": "entry" if self.profile is None else "block", "species": self.features.species.tolist()}


def _dense(into: int, width: int, out: int, *, scale: float = 1.0, bias: float = 0.0) -> nn.Sequential:
    """Two hidden layers; `scale` and `bias` initialise the last layer."""
    last = nn.Linear(width, out)
    with torch.no_grad():
        last.weight.mul_(scale)
        last.bias.fill_(bias)
    return nn.Sequential(nn.Linear(into, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), last)
