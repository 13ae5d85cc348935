"""Responses on a coarse grid around the cell that is hit, in a frame that makes the symmetries of the face exact.

Mirrors and, on a square face, the transpose map the entry position in the cell to one eighth of the cell, 0 <= y <= x.
A network in this frame has the eight symmetries of `zdc_detector.symmetries` exactly, without augmentation, and
learns from each shower what augmentation would show it eight times.

The image in this frame is stored in units: single fibres near the cell that is hit, and larger rectangles at larger
distances, where there is little light and no sharp structure. Both axes have the same divisions, so the unit of a fibre
is division of its row * number of divisions + division of its column. The units cover the face for every impact point.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import PX, PY, PZ

from zdc_training.nn.geometry import FaceGeometry


@dataclass(frozen=True)
class FaceEntry:
    """The entry of particles into the calorimeter, in the frame with 0 <= y <= x.

    Attributes
    ----------
    cell : Row and column of the fibre cell that is hit, on the face, shape (N, 2).
    within : Position in the cell, 0 at its centre, 1 at its edge, shape (N, 2).
    slope : Transverse over longitudinal momentum, shape (N, 2).
    side : -1 for an axis that is mirrored, else 1; mirrors come before the transpose; shape (N, 2).
    swapped : Whether x and y are swapped, shape (N, 1).
    point : Where the straight line meets the plane of the face, in the frame [cm], shape (N, 2).
    """

    cell: Tensor
    within: Tensor
    slope: Tensor
    side: Tensor
    swapped: Tensor
    point: Tensor


class CoarseFrame(nn.Module):
    """The entry of particles from their conditions, and the unit of each fibre.

    Parameters
    ----------
    reach : Largest distance from the cell in each division of an axis [fibres], in increasing order.

    Attributes
    ----------
    units : Number of units.
    width : `units`, rounded up to a multiple of 16 with unused units: onnxruntime computes the last few elements of a
        tensor with other code, and a multiple of 16 leaves no such remainder.
    unit_of : Unit of each position relative to the cell that is hit, which is in the middle; int64, shape
        (2 * rows - 1, 2 * columns - 1).
    """

    division: Tensor

    def __init__(self, calorimeter: Calorimeter, reach: Sequence[int]) -> None:
        super().__init__()
        self.geometry = FaceGeometry(calorimeter)
        self.shape = rows, columns = calorimeter.shape
        half = calorimeter.half_width
        self.square = rows == columns and half[0] == half[1]
        self.furthest = max(rows, columns) - 1
        self.register_buffer("division", divisions(self.furthest, reach), persistent=False)
        self.stride = int(self.division.max()) + 1
        self.units = self.stride**2
        self.width = -(-self.units // 16) * 16
        down, across = (self.division[self.furthest - n + 1 : self.furthest + n] for n in (rows, columns))
        self.unit_of = down[:, None] * self.stride + across

    def entry(self, conditions: Tensor) -> FaceEntry:
        """The entry of particles with conditions (N, 9)."""
        cell, within = self.geometry.cell(conditions)
        slope = conditions[:, PX : PY + 1] / conditions[:, PZ : PZ + 1]
        side = torch.where(within < 0, -1.0, 1.0)
        within, slope, point = within * side, slope * side, self.geometry.impact_point(conditions) * side
        swapped = within[:, 1:] > within[:, :1] if self.square else torch.zeros_like(within[:, :1], dtype=torch.bool)
        turned = (torch.where(swapped, pair.flip(1), pair) for pair in (within, slope, point))
        within, slope, point = turned
        return FaceEntry(cell, within, slope, side, swapped, point)

    def units_on_face(self, entry: FaceEntry) -> Tensor:
        """The unit of each fibre of the face, int64, shape (N, rows * columns)."""
        rows, columns = self.shape
        side, cell = entry.side.to(torch.int64), entry.cell.to(torch.int64)
        down = (torch.arange(rows, device=cell.device) - cell[:, :1]) * side[:, :1] + self.furthest
        across = (torch.arange(columns, device=cell.device) - cell[:, 1:]) * side[:, 1:] + self.furthest
        # index_select instead of an index: onnxruntime's Gather is ten times faster than its GatherND.
        down = torch.index_select(self.division, 0, down.flatten()).reshape(-1, rows, 1)
        across = torch.index_select(self.division, 0, across.flatten()).reshape(-1, 1, columns)
        one, stride = (
            torch.where(entry.swapped[:, :, None], self.stride, 1),
            torch.where(entry.swapped[:, :, None], 1, self.stride),
        )
        units: Tensor = down * stride + across * one
        return units.flatten(1)


def divisions(furthest: int, reach: Sequence[int]) -> Tensor:
    """The division of each position on an axis, from -furthest to furthest, int64, shape (2 * furthest + 1,)."""
    distance = torch.arange(furthest + 1)
    ring = torch.bucketize(distance, torch.tensor(reach[:-1], dtype=torch.int64))
    outward = torch.cat([-ring.flip(0), ring[1:]])
    return outward - outward.min()
