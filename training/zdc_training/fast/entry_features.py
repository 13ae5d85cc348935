"""Features of a particle for the networks: energy, species, decay, and the material on its straight line.

A photon that enters the air groove around a fibre may travel most of the metre before it reaches tungsten; then it
gives little or no light. The lengths in groove, fibre and metal follow from its entry position and slope, but they are
not smooth functions of them. So they are computed here and not learned.

Transverse lengths are in units of half the side of the groove, longitudinal ones in units of the calorimeter's depth.
"""

import torch
from torch import Tensor, nn
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import ENERGY, MASS, PZ, VZ

from zdc_training.config.fast import FastModelConfig
from zdc_training.fast.coarse_frame import FaceEntry
from zdc_training.fast.crossings import circle_crossing, not_parallel, square_crossing, whole_rows

#: Smallest slope [half sides of the groove per depth]; smaller ones are replaced by it (0.3 um in 1 m).
_SMALLEST_SLOPE = 1e-3
#: Offset in the logarithms of depths [depths].
_NEAR = 0.003
_REFERENCE_ENERGY = 300.0  # [GeV]; log(E / reference) is the energy feature


class EntryFeatures(nn.Module):
    """Features of order one, shape (N, `columns`), from entries, energies and species.

    Among them are the lengths in groove, fibre and metal, exponentials exp(-length / attenuation length), and the
    probability to reach the face without decay,

        exp(-(z_face - vz) m / (pz c tau)).

    Attributes
    ----------
    survival : The column of this probability.
    """

    survival = 33

    species: Tensor
    half_pitch: Tensor
    decays: Tensor

    def __init__(self, config: FastModelConfig, calorimeter: Calorimeter) -> None:
        super().__init__()
        pitch = [width / fibres for width, fibres in zip(calorimeter.half_width, calorimeter.shape, strict=True)]
        self.register_buffer("half_pitch", torch.tensor(pitch) / config.groove, persistent=False)
        self.register_buffer("species", torch.tensor(config.species, dtype=torch.int64), persistent=False)
        decays = torch.tensor([1.0 / length if length else 0.0 for length in config.decay_lengths])
        self.register_buffer("decays", decays, persistent=False)
        self.face_z = calorimeter.face_plane
        self.fibre = config.fibre / config.groove
        self.depth = config.depth / config.groove
        self.columns = 37 + len(config.species)

    def forward(self, entry: FaceEntry, log_energy: Tensor, conditions: Tensor, pdg: Tensor) -> Tensor:
        """Features, shape (N, columns).

        Parameters
        ----------
        log_energy : Output of `EntryFeatures.log_energy`, shape (N, 1).
        conditions : Shape (N, 9).
        pdg : PDG codes, int64, shape (N,).
        """
        place, slope = entry.within * self.half_pitch, entry.slope * self.depth
        slope = not_parallel(slope, _SMALLEST_SLOPE)
        into, out = square_crossing(place, slope)
        fibre_into, fibre_out = circle_crossing(place, slope, self.fibre)
        radius, furthest = place.square().sum(dim=1, keepdim=True).sqrt(), place.amax(dim=1, keepdim=True)
        groove_length, fibre_length = out - into, fibre_out - fibre_into
        metal_length = 1.0 - groove_length
        in_groove, in_fibre = (furthest < 1.0).to(place.dtype), (radius < self.fibre).to(place.dtype)
        crosses = (groove_length > 0).to(place.dtype)
        into = torch.where(groove_length > 0, into, 1.0)
        to_metal = in_groove * out
        to_fibre = torch.where(fibre_length > 0, fibre_into, 1.0)
        to_matter = (1.0 - in_fibre) * torch.minimum(to_fibre, to_metal)
        depths = torch.cat([to_metal, to_matter, into, 1.0 - to_metal, 1.0 - to_matter, fibre_length], dim=1)
        linear = [entry.within, entry.within.square(), entry.within[:, :1] * entry.within[:, 1:], slope, radius - 1.0]
        linear += [furthest - 1.0, in_groove, in_fibre, crosses, depths[:, :3], groove_length, fibre_length]
        # The factors are approximate inverse attenuation lengths of hadrons and photons in tungsten and quartz.
        exponents = [metal_length * 10 + fibre_length * 2.2, metal_length * 50 + fibre_length * 1.2, fibre_length * 6.0]
        exponents += [to_metal * 50, into * 20, (1.0 - to_metal) * 33, (radius * 2).square()]
        exponents += [((radius - self.fibre) * 6).square(), ((furthest - 1.0) * 6).square()]
        known = (pdg[:, None] == self.species).to(place.dtype)
        way = (self.face_z - conditions[:, VZ, None]) * (conditions[:, MASS, None] * 1e-3) / conditions[:, PZ, None]
        decays = way * (known * self.decays).sum(dim=1, keepdim=True)  # decay lengths on the way to the face
        exponents += [decays]
        root = 10.0 / conditions[:, ENERGY, None].sqrt() - 0.7
        energy = [log_energy / 1.3, log_energy.square() / 3 - 0.5, root]
        logarithms = whole_rows(torch.cat([depths, decays], dim=1) + _NEAR).log()[:, : depths.shape[1] + 1] / 2 + 1
        exponentials = torch.exp(-whole_rows(torch.cat(exponents, dim=1)))[:, : len(exponents)]
        return torch.cat([*linear, logarithms, exponentials, *energy, known], dim=1)

    @staticmethod
    def log_energy(conditions: Tensor, pdg: Tensor) -> Tensor:
        """log(E / 300 GeV), shape (N, 1)."""
        del pdg  # the same for all species
        return whole_rows(conditions[:, ENERGY, None] / _REFERENCE_ENERGY).log()[:, :1]
