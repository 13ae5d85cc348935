"""Features of a particle that enters the block of the calorimeter: energy, kind, edges, and the way of its line.

For particles that are given anywhere on their straight line, of any species and any direction to +z. The line may enter
the block through its front, the face, or through a side, and leave it through a side. In addition to the crossings of
`zdc_training.fast.entry_features`, the features are

- where the line enters and leaves the block, and how far the four sides are from the place of entry: light that would
  be outside is lost, and so are particles of the shower that would come back;
- the energy that the particle releases when it is absorbed, E - B m with the baryon number B: a neutron keeps its mass,
  an antineutron annihilates. For mesons, leptons and photons, it is E;
- traits of the species instead of the species: a trait is learned from all species that have it.

Longitudinal lengths are in units of the calorimeter's depth, transverse ones in units of half the side of the groove or
of a fibre's pitch.
"""

import torch
from particle import PDGID
from torch import Tensor, nn
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import ENERGY, MASS, PZ, VZ

from zdc_training.config.fast import FastModelConfig
from zdc_training.fast.coarse_frame import FaceEntry
from zdc_training.fast.crossings import circle_crossing, not_parallel, square_crossing, whole_rows

#: Columns of `traits`.
TRAITS = ("electromagnetic", "photon", "charged", "hadron charge", "baryon", "antibaryon", "meson", "strange")

_SMALLEST_SLOPE = 1e-3  # [half sides of the groove per depth]; 0.3 um in 1 m
_NEAR = 0.003  # offset in the logarithms of depths [depths]
_REFERENCE_ENERGY = 300.0  # [GeV]; log(released energy / reference) is the energy feature
_LEAST_ENERGY = 0.05  # [GeV]; smaller released energies give no light
_TURNING_POINTS = (3.0, 30.0, 300.0, 3000.0)  # [GeV] of the energy features 1 / (1 + E / turning point)
_DECREASES = (1.0, 4.0, 16.0)  # lengths over which the effect of an edge decreases [pitches]
_WIDE = 16.0  # slope of 5 mrad in ZN [half sides of the groove per depth]


class BlockFeatures(nn.Module):
    """Features of order one, shape (N, `columns`), see the module.

    Attributes
    ----------
    survival : The column of the probability to reach the face without decay,

            exp(-(z_face - vz) m / (pz c tau)).

    electromagnetic : The column that is 1 for photons, electrons and positrons.
    """

    survival = 0
    electromagnetic = 1

    species: Tensor
    traits: Tensor
    half_width: Tensor
    pitch: Tensor
    half_pitch: Tensor
    decays: Tensor

    def __init__(self, config: FastModelConfig, calorimeter: Calorimeter) -> None:
        super().__init__()
        half_width = torch.tensor(calorimeter.half_width)
        self.register_buffer("half_width", half_width, persistent=False)
        pitch = 2.0 * half_width / torch.tensor(calorimeter.shape)
        self.register_buffer("pitch", pitch, persistent=False)
        self.register_buffer("half_pitch", pitch / (2.0 * config.groove), persistent=False)
        self.register_buffer("species", torch.tensor(config.species, dtype=torch.int64), persistent=False)
        self.register_buffer("traits", torch.tensor([traits(code) for code in config.species]), persistent=False)
        decays = torch.tensor([1.0 / length if length else 0.0 for length in config.decay_lengths])
        self.register_buffer("decays", decays, persistent=False)
        self.face_z = calorimeter.face_plane
        self.depth = config.depth
        self.groove = config.groove
        self.fibre = config.fibre / config.groove
        self.columns = 58 + len(TRAITS)

    def log_energy(self, conditions: Tensor, pdg: Tensor) -> Tensor:
        """log(released energy / 300 GeV), shape (N, 1)."""
        return whole_rows(self._released(conditions, self._traits(pdg)) / _REFERENCE_ENERGY).log()[:, :1]

    def reaches(self, entry: FaceEntry, conditions: Tensor) -> Tensor:
        """Whether the lines of particles (N, 9) from before the face or on it cross the block, shape (N, 1)."""
        start, end = self.in_block(entry)
        before: Tensor = conditions[:, VZ, None] <= self.face_z
        return before & (end > start)

    def in_block(self, entry: FaceEntry) -> tuple[Tensor, Tensor]:
        """Depths at which lines enter and leave the block, in [0, 1]; equal if they miss it; shapes (N, 1)."""
        slope = not_parallel(entry.slope * (self.depth / self.half_width), _SMALLEST_SLOPE * self.groove)
        return square_crossing(entry.point / self.half_width, slope)

    def forward(self, entry: FaceEntry, log_energy: Tensor, conditions: Tensor, pdg: Tensor) -> Tensor:
        """Features, shape (N, columns).

        Parameters
        ----------
        log_energy : Output of `BlockFeatures.log_energy`, shape (N, 1).
        conditions : Shape (N, 9).
        pdg : PDG codes, int64, shape (N,).
        """
        kind = self._traits(pdg)
        start, end = self.in_block(entry)
        slope = not_parallel(entry.slope * (self.depth / self.groove), _SMALLEST_SLOPE)
        line = entry.within * self.half_pitch
        into, out = _inside(square_crossing(line, slope), start, end)
        fibre_into, fibre_out = _inside(circle_crossing(line, slope, self.fibre), start, end)
        # A line that enters through a side meets the plane of the face outside: its place is the edge of the cell.
        within = entry.within.clamp(max=1.0)
        place = within * self.half_pitch
        radius, furthest = place.square().sum(dim=1, keepdim=True).sqrt(), place.amax(dim=1, keepdim=True)
        groove_length, fibre_length, length = out - into, fibre_out - fibre_into, end - start
        metal_length = length - groove_length
        in_groove, in_fibre, crosses, through_side = (
            yes.to(place.dtype) for yes in (furthest < 1.0, radius < self.fibre, groove_length > 0, start > 0)
        )
        into = torch.where(groove_length > 0, into, 1.0)
        to_metal = in_groove * out
        to_matter = (1.0 - in_fibre) * torch.minimum(torch.where(fibre_length > 0, fibre_into, 1.0), to_metal)
        behind_metal, behind_matter = (end - torch.maximum(start, depth) for depth in (to_metal, to_matter))
        linear = [within, within.square(), within[:, :1] * within[:, 1:], slope / (1.0 + slope.abs()), slope / _WIDE]
        linear += [radius - 1.0, furthest - 1.0, in_groove, in_fibre, crosses, through_side]
        linear += [to_metal, to_matter, into, groove_length, fibre_length, start, 1.0 - end]
        depths = [to_metal, to_matter, into, behind_metal, behind_matter, fibre_length, length]
        # The factors are approximate inverse attenuation lengths of photons and hadrons in tungsten and quartz.
        exponents = [metal_length * 10 + fibre_length * 2.2, metal_length * 50 + fibre_length * 1.2, metal_length * 200]
        exponents += [fibre_length * 6, to_metal * 50, into * 20, behind_metal * 33, (radius * 2).square()]
        exponents += [((radius - self.fibre) * 6).square(), ((furthest - 1.0) * 6).square()]
        entered = entry.point + entry.slope * (self.depth * start)
        for edge in (self.half_width - entered, self.half_width + entered):
            exponents += [edge.clamp(min=0.0) / self.pitch / decrease for decrease in _DECREASES]
        known = (pdg[:, None] == self.species).to(place.dtype)
        way = (self.face_z - conditions[:, VZ, None]) * (conditions[:, MASS, None] * 1e-3) / conditions[:, PZ, None]
        exponents.insert(0, way * (known * self.decays).sum(dim=1, keepdim=True))
        energy = [log_energy / 2.5, log_energy.square() / 12 - 0.5]
        energy += [1.0 / (1.0 + self._released(conditions, kind) / turning) for turning in _TURNING_POINTS]
        logarithms = whole_rows(torch.cat(depths, dim=1) + _NEAR).log()[:, : len(depths)] / 2 + 1
        joined = torch.cat(exponents, dim=1)
        exponentials = torch.exp(-whole_rows(joined))[:, : joined.shape[1]]
        return torch.cat([exponentials[:, :1], kind, exponentials[:, 1:], *linear, logarithms, *energy], dim=1)

    def _traits(self, pdg: Tensor) -> Tensor:
        return (pdg[:, None] == self.species).to(self.traits.dtype) @ self.traits

    def _released(self, conditions: Tensor, kind: Tensor) -> Tensor:
        baryons = kind[:, 4:5] - kind[:, 5:6]
        released = conditions[:, ENERGY, None] - baryons * (conditions[:, MASS, None] * 1e-3)
        return released.clamp(min=_LEAST_ENERGY)


def traits(code: int) -> tuple[float, ...]:
    """The traits of a species, in the order of `TRAITS`."""
    found = PDGID(code)
    electromagnetic = found.abspid in (11, 22)
    baryons = 0 if not found.is_baryon else -1 if code < 0 else 1
    hadron_charge = 0.0 if electromagnetic else float(found.charge or 0)
    return (
        float(electromagnetic),
        float(code == 22),
        float(bool(found.charge)),
        hadron_charge,
        float(baryons == 1),
        float(baryons == -1),
        float(found.is_meson),
        float(found.has_strange),
    )


def _inside(crossing: tuple[Tensor, Tensor], start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """The part of a crossing between two depths; equal numbers if there is none."""
    into, out = (torch.minimum(torch.maximum(depth, start), end) for depth in crossing)
    return into, out
