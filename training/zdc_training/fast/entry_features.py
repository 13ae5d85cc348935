"""What the light of a particle depends on: energy, species, decays, and what it meets on its straight way in.

A photon that enters the air groove around a fibre may fly most of the metre before it meets tungsten: then it leaves
little light or none. Where it meets what is known from its entry and slope to the micrometre, but no smooth function
of them; so the crossings with groove and fibre are computed here instead of learned.

Lengths across are in units of half the groove's side, lengths along in units of the calorimeter's depth.
"""

import torch
from torch import Tensor, nn
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import ENERGY, MASS, PZ, VZ

from zdc_training.config.fast import FastModelConfig
from zdc_training.fast.coarse_frame import Entry

#: Slopes below it [groove half sides per depth] are taken as it: 1 um across in a metre changes nothing.
_SMALLEST_SLOPE = 1e-3
#: Lengths [depths] at which logarithms of depths level off.
_NEAR = 0.003
_REFERENCE_ENERGY = 300.0  # [GeV], where a scaled log E is 0


class EntryFeatures(nn.Module):
    """Numbers of order one, shape (N, `columns`), of entries, energies and species.

    Attributes
    ----------
    survival : The column with the probability to reach the face.
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
        self.face_z = calorimeter.face_z
        self.fibre = config.fibre / config.groove
        self.depth = config.depth / config.groove
        self.columns = 37 + len(config.species)

    def forward(self, entry: Entry, log_energy: Tensor, conditions: Tensor, pdg: Tensor) -> Tensor:
        """Features, shape (N, columns), with `log_energy` (N, 1) of `EntryFeatures.log_energy`."""
        place, slope = entry.within * self.half_pitch, entry.slope * self.depth
        slope = torch.where(slope < 0, -1.0, 1.0) * slope.abs().clamp(min=_SMALLEST_SLOPE)
        into, out = _square_crossing(place, slope)
        fibre_into, fibre_out = _circle_crossing(place, slope, self.fibre)
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
        # Attenuation lengths are those of hadrons and photons in tungsten and quartz, roughly.
        exponents = [metal_length * 10 + fibre_length * 2.2, metal_length * 50 + fibre_length * 1.2, fibre_length * 6.0]
        exponents += [to_metal * 50, into * 20, (1.0 - to_metal) * 33, (radius * 2).square()]
        exponents += [((radius - self.fibre) * 6).square(), ((furthest - 1.0) * 6).square()]
        known = (pdg[:, None] == self.species).to(place.dtype)
        way = (self.face_z - conditions[:, VZ, None]) * (conditions[:, MASS, None] * 1e-3) / conditions[:, PZ, None]
        decays = way * (known * self.decays).sum(dim=1, keepdim=True)  # decay lengths on the way to the face
        exponents += [decays]
        root = 10.0 / conditions[:, ENERGY, None].sqrt() - 0.7
        energy = [log_energy / 1.3, log_energy.square() / 3 - 0.5, root]
        logarithms = _rows_of_16(torch.cat([depths, decays], dim=1) + _NEAR).log()[:, : depths.shape[1] + 1] / 2 + 1
        exponentials = torch.exp(-_rows_of_16(torch.cat(exponents, dim=1)))[:, : len(exponents)]
        return torch.cat([*linear, logarithms, exponentials, *energy, known], dim=1)

    @staticmethod
    def log_energy(conditions: Tensor) -> Tensor:
        """log(E / 300 GeV), shape (N, 1)."""
        return _rows_of_16(conditions[:, ENERGY, None] / _REFERENCE_ENERGY).log()[:, :1]


def _rows_of_16(columns: Tensor) -> Tensor:
    """The columns, filled with copies of the first to 16.

    onnxruntime takes the last few elements of a tensor through other code than the rest, so that a logarithm would
    depend on how many rows are asked for; rows of 16 leave no such rest.
    """
    return torch.cat([columns, columns[:, :1].expand(-1, 16 - columns.shape[1])], dim=1)


def _square_crossing(place: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """Where lines are in the square |x|, |y| < 1: from and to, in [0, 1], equal for lines that miss it; (N, 1)."""
    one, other = (-1.0 - place) / slope, (1.0 - place) / slope
    into = torch.minimum(one, other).amax(dim=1, keepdim=True).clamp(0.0, 1.0)
    out = torch.maximum(one, other).amin(dim=1, keepdim=True).clamp(0.0, 1.0)
    return into, torch.maximum(into, out)


def _circle_crossing(place: Tensor, slope: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """Where lines are in a circle about the centre: from and to, in [0, 1], equal for lines that miss it; (N, 1)."""
    square = slope.square().sum(dim=1, keepdim=True)
    along = (place * slope).sum(dim=1, keepdim=True)
    root = (along.square() - square * (place.square().sum(dim=1, keepdim=True) - radius**2)).clamp(min=0.0).sqrt()
    return ((-along - root) / square).clamp(0.0, 1.0), ((-along + root) / square).clamp(0.0, 1.0)
