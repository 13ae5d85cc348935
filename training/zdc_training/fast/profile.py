"""How the fibres of a coarse unit share its light.

The mean light of a shower falls with the distance from the cell that is hit. Equal shares of a rectangle's fibres would
show as frames in mean images. The shares follow the mean light of the training showers as a function of the distance,
for hadrons and for electromagnetic showers. The brightest fibre of a unit has the share 1.
"""

import torch
from torch import Tensor, nn
from zdc_detector.calorimeter import Calorimeter

from zdc_training.fast.coarse_frame import CoarseFrame, FaceEntry

_RINGS_PER_FACTOR = 8  # rings of distances for each factor e
_LEAST_PHOTONS = 30.0  # rings with fewer photons continue the slope of the last one


class LightProfile(nn.Module):
    """Shares of the fibres of a unit, from their position relative to the cell that is hit.

    Attributes
    ----------
    windows : Share of a fibre for hadrons and for electromagnetic showers, shape (2, columns, 2 * rows - 1, columns):
        by the column of the cell that is hit, the row of the fibre minus the row of the cell plus rows - 1, and the
        column of the fibre. The shares of a row of the face are contiguous: onnxruntime copies them as a whole.
    """

    windows: Tensor
    grid: Tensor

    def __init__(self, frame: CoarseFrame) -> None:
        super().__init__()
        self.rows, self.columns = frame.shape
        self.heights = 2 * self.rows - 1
        self.size = self.heights * (2 * self.columns - 1)
        self.register_buffer("grid", torch.arange(self.rows) + self.rows - 1, persistent=False)
        self.register_buffer("windows", torch.ones(2, self.columns, self.heights, self.columns))

    def forward(self, entry: FaceEntry, kind: Tensor) -> Tensor:
        """The share of each fibre of the face, shape (N, rows, columns).

        Parameters
        ----------
        kind : 1 for electromagnetic showers, else 0, shape (N, 1).
        """
        cell = entry.cell.to(torch.int64)
        stack = (kind.to(torch.int64) * self.columns + cell[:, 1:]) * self.heights
        rows = self.grid + (stack - cell[:, :1])
        # index_select instead of an index: onnxruntime's Gather is ten times faster than its GatherND.
        shares = torch.index_select(self.windows.reshape(-1, self.columns), 0, rows.flatten())
        return shares.reshape(-1, self.rows, self.columns)

    def places(self, entry: FaceEntry) -> Tensor:
        """The place of each fibre of the face among all relative positions, int64, shape (N, rows * columns)."""
        cell = entry.cell.to(torch.int64)
        stride = 2 * self.columns - 1
        across = torch.arange(self.columns, device=cell.device) + self.columns - 1 - cell[:, 1:]
        places: Tensor = (self.grid - cell[:, :1])[:, :, None] * stride + across[:, None, :]
        return places.flatten(1)

    @torch.no_grad()
    def fit(self, light: Tensor, exposure: Tensor, frame: CoarseFrame, calorimeter: Calorimeter) -> None:
        """Set the shares from the mean light of showers at each relative position.

        Parameters
        ----------
        light : Photons, summed over the showers of a kind, shape (2, size).
        exposure : Energy of the showers that have this position on the face, summed, shape (2, size).
        """
        pitch = [2.0 * half / fibres for half, fibres in zip(calorimeter.half_width, calorimeter.shape, strict=True)]
        down, across = ((torch.arange(2 * n - 1) - n + 1.0) * p for n, p in zip(frame.shape, pitch, strict=True))
        distance = (down[:, None].square() + across.square()).sqrt().flatten() / min(pitch)
        unit_of = frame.unit_of.flatten()
        for kind in range(2):
            density = _density(distance, light[kind].double(), exposure[kind].double())
            most = torch.zeros(frame.width, dtype=torch.float64).scatter_reduce(0, unit_of, density, "amax")
            shares = (density / most[unit_of]).reshape(self.heights, -1)
            for column in range(self.columns):
                first = self.columns - 1 - column
                self.windows[kind, column] = shares[:, first : first + self.columns]


def _density(distance: Tensor, light: Tensor, exposure: Tensor) -> Tensor:
    """Light at each distance, from the means of rings, with a power law between their centres."""
    logarithm = distance.clamp(min=1.0).log()
    ring = (logarithm * _RINGS_PER_FACTOR).long()
    count = int(ring.max()) + 1
    photons, energy, place = (
        torch.zeros(count, dtype=torch.float64).index_add(0, ring, values.double())
        for values in (light, exposure, exposure * logarithm)
    )
    known = photons >= _LEAST_PHOTONS
    if int(known.sum()) < 2:
        return torch.ones_like(distance, dtype=torch.float64)
    x, y = (place / energy.clamp(min=1e-30))[known], (photons / energy.clamp(min=1e-30))[known].log()
    above = torch.searchsorted(x, logarithm.double().contiguous()).clamp(1, len(x) - 1)
    left, right = x[above - 1], x[above]
    weight = (logarithm - left) / (right - left)
    # Outside the rings, the power law of the outermost pair continues, but light never rises with the distance.
    slope = (y[above] - y[above - 1]).clamp(max=0.0)
    return (y[above - 1] + weight * slope).exp()
