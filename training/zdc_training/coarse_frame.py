"""Responses in units around the cell that is hit, turned so that all eight symmetries of the face are one.

A particle enters its cell at some place. Mirrors and, on a square face, the transpose turn the problem so that the
place lies in one eighth of the cell: 0 <= y <= x. A network that works there has the symmetries exactly, with no
augmentation, and learns from each shower what augmentation would show it eight times.

The turned image is stored in `units`: single fibres near the cell, squares of fibres further out, where there is
little light and no sharp structure. All of the face is there, wherever the particle hits it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import PX, PY, PZ

from zdc_training.model import FaceGeometry


@dataclass(frozen=True)
class Entry:
    """Where particles enter the calorimeter, turned to 0 <= y <= x.

    Attributes
    ----------
    cell : Row and column of the fibre cell that is hit, not turned, shape (N, 2).
    within : Place in the cell, 0 at its centre, 1 at its edge, shape (N, 2).
    slope : Transverse over longitudinal momentum, shape (N, 2).
    side : 1 or -1, the mirrors that were applied, before the transpose, shape (N, 2).
    swapped : Whether x and y were swapped, shape (N, 1).
    """

    cell: Tensor
    within: Tensor
    slope: Tensor
    side: Tensor
    swapped: Tensor


class CoarseFrame(nn.Module):
    """From conditions to entry, and between units and the face.

    Parameters
    ----------
    rings : (how far from the cell [fibres], side of a unit [fibres]), from the inside outward; the last one reaches as
        far as the face can.

    Attributes
    ----------
    units : How many there are.
    width : `units` and as many that no fibre belongs to as make a multiple of 16: onnxruntime takes the last few
        elements of a tensor through other code than the rest, and rows of 16 leave no such rest.
    """

    unit_of: Tensor

    def __init__(self, calorimeter: Calorimeter, rings: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.geometry = FaceGeometry(calorimeter)
        self.shape = rows, columns = calorimeter.shape
        half = calorimeter.half_width
        self.square = rows == columns and half[0] == half[1]
        self.register_buffer("unit_of", unit_table(rows, columns, rings), persistent=False)
        self.units = int(self.unit_of.max()) + 1
        self.width = -(-self.units // 16) * 16

    def entry(self, conditions: Tensor) -> Entry:
        """Where particles enter, from conditions (N, 9)."""
        cell, within = self.geometry.cell(conditions)
        slope = conditions[:, PX : PY + 1] / conditions[:, PZ : PZ + 1]
        side = torch.where(within < 0, -1.0, 1.0)
        within, slope = within * side, slope * side
        swapped = within[:, 1:] > within[:, :1] if self.square else torch.zeros_like(within[:, :1], dtype=torch.bool)
        return Entry(
            cell,
            torch.where(swapped, within.flip(1), within),
            torch.where(swapped, slope.flip(1), slope),
            side,
            swapped,
        )

    def units_on_face(self, entry: Entry) -> Tensor:
        """The unit of each fibre of the face, int64, shape (N, rows * columns)."""
        rows, columns = self.shape
        stride = 2 * columns - 1
        side, cell = entry.side.to(torch.int64), entry.cell.to(torch.int64)
        down = (torch.arange(rows, device=cell.device) - cell[:, :1]) * side[:, :1]
        across = (torch.arange(columns, device=cell.device) - cell[:, 1:]) * side[:, 1:]
        down = down * torch.where(entry.swapped, 1, stride)
        across = across * torch.where(entry.swapped, stride, 1)
        centre = (rows - 1) * stride + columns - 1
        place = (down + centre)[:, :, None] + across[:, None, :]
        units: Tensor = self.unit_of[place.flatten(1)]
        return units

    def to_face(self, values: Tensor, entry: Entry) -> Tensor:
        """Values per fibre of each unit, shape (N, at least `units`), to the face, shape (N, rows, columns)."""
        return torch.gather(values, 1, self.units_on_face(entry)).reshape(-1, *self.shape)


def unit_table(rows: int, columns: int, rings: Sequence[tuple[int, int]]) -> Tensor:
    """The unit of each place of the frame, int64, shape ((2 rows - 1) * (2 columns - 1),).

    The cell that is hit stands in the middle. Squares are centred on it and cut where a ring begins or ends.
    """
    down, across = torch.meshgrid(torch.arange(rows * 2 - 1) - rows + 1, torch.arange(columns * 2 - 1) - columns + 1,
                                  indexing="ij")  # fmt: skip
    distance = torch.maximum(down.abs(), across.abs())
    ring = torch.bucketize(distance, torch.tensor([extent for extent, _ in rings[:-1]], dtype=torch.int64))
    side = torch.tensor([side for _, side in rings], dtype=torch.int64)[ring]
    squares = [torch.div(place + side // 2, side, rounding_mode="floor") for place in (down, across)]
    key = torch.stack([ring, *squares], dim=-1).reshape(-1, 3)
    unit: Tensor = torch.unique(key, dim=0, return_inverse=True)[1]
    return unit
