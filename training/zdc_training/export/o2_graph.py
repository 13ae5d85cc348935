"""The graphs for O2: a network and a classifier, with O2's scaling, units and order of fibres."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from zdc_detector.finish import MAX_COUNT
from zdc_detector.particles import CHARGE, PZ, VZ

from zdc_training.nn.geometry import FaceGeometry
from zdc_training.nn.graph import ExportedGraph

#: ROOT's `TParticlePDG::Charge` counts thirds of the elementary charge.
CHARGE_UNITS = 3.0
#: O2 casts expm1 of the output from float to int, which truncates 2.9999998 to 2. With this relative increase, a few
#: units in the last place, the result stays above n for any rounding, and below n + 1/2 for every n of 16 bits.
_ABOVE = 2.0**-21


class O2Conditions(nn.Module):
    """Conditions from O2 in the units of the networks: unscaled, charge in e, all particles toward +z."""

    means: Tensor
    scales: Tensor
    units: Tensor

    def __init__(
        self, geometry: FaceGeometry, means: NDArray[np.float32], scales: NDArray[np.float32], charged: bool
    ) -> None:
        """Store the scales of O2.

        Parameters
        ----------
        geometry : The face.
        means, scales : Numbers that O2 subtracts and divides by, in its units, shape (9,).
        charged : Whether charged particles were trained on; otherwise they give no light.
        """
        super().__init__()
        self.geometry = geometry
        self.charged = charged
        self.register_buffer("means", torch.from_numpy(means))
        self.register_buffer("scales", torch.from_numpy(scales))
        units = torch.ones(len(means))
        units[CHARGE] = 1 / CHARGE_UNITS
        self.register_buffer("units", units)

    def forward(self, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """Conditions in our units, shape (N, 9), and whether the particle can give light, bool, shape (N,)."""
        particles = (conditions * self.scales + self.means) * self.units
        mirror = torch.ones_like(particles)
        mirror[:, VZ] = mirror[:, PZ] = torch.where(particles[:, PZ] < 0, -1.0, 1.0)
        particles = particles * mirror
        lit = self.geometry.hits_face(particles) > 0
        if not self.charged:
            lit = lit & (particles[:, CHARGE].abs() < 0.5 / CHARGE_UNITS)
        return particles, lit


class O2Graph(nn.Module):
    """A network with O2's inputs and output; counts are rounded here, because O2 truncates them."""

    stand_in: Tensor

    def __init__(self, graph: ExportedGraph, conditions: O2Conditions) -> None:
        super().__init__()
        self.generator = graph
        self.conditions = conditions
        # A photon of 100 GeV on the axis of the face replaces particles without light: the network sees no infinite
        # impact point.
        x, y = conditions.geometry.centre.tolist()
        self.register_buffer("stand_in", torch.tensor([100.0, x, y, 0.0, 0.0, 0.0, 100.0, 0.0, 0.0]))

    def forward(self, noise: Tensor, conditions: Tensor) -> Tensor:
        """log(1 + photons), shape (N, columns, rows, 1), of noise (N, 10) and scaled conditions (N, 9)."""
        counts = torch.round(self.rates(noise, conditions)).clamp(max=MAX_COUNT)
        logs: Tensor = log_counts(counts).transpose(1, 2).unsqueeze(-1)
        return logs

    def rates(self, noise: Tensor, conditions: Tensor) -> Tensor:
        """Photons before they are rounded, shape (N, rows = x, columns = y)."""
        particles, lit = self.conditions(conditions)
        rates: Tensor = self.generator(torch.where(lit[:, None], particles, self.stand_in), noise)
        return torch.where(lit[:, None, None], rates, torch.zeros_like(rates))


class O2Classifier(nn.Module):
    """The graph that O2 calls first: from nine scaled conditions, whether a particle can give light."""

    def __init__(self, conditions: O2Conditions) -> None:
        super().__init__()
        self.conditions = conditions

    def forward(self, conditions: Tensor) -> Tensor:
        """1 for light and 0 for none, shape (N, 1), of scaled conditions (N, 9)."""
        lit: Tensor = self.conditions(conditions)[1]
        return lit.to(conditions.dtype).unsqueeze(1)


def log_counts(counts: Tensor) -> Tensor:
    """Slightly more than log(1 + counts), so that O2's cast of expm1 to int returns each count from 0 to 65535."""
    logs: Tensor = torch.log1p(counts)
    return logs + logs * _ABOVE  # written as one factor, torch's exporter would round it to 1 and drop it
