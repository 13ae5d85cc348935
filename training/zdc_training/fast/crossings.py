"""Where straight lines cross squares and circles, and exact elementwise functions of several columns.

Transverse positions and slopes are in units of the half side of the square; the length of the calorimeter is 1.
"""

import torch
from torch import Tensor

_ROW = 16


def square_crossing(place: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """Start and end, in [0, 1], of lines in the square |x|, |y| < 1; equal for lines that miss it; shapes (N, 1).

    Parameters
    ----------
    place : Position at depth 0, shape (N, 2).
    slope : Change of the position over the length of the calorimeter, not 0, shape (N, 2).
    """
    one, other = (-1.0 - place) / slope, (1.0 - place) / slope
    into = torch.minimum(one, other).amax(dim=1, keepdim=True).clamp(0.0, 1.0)
    out = torch.maximum(one, other).amin(dim=1, keepdim=True).clamp(0.0, 1.0)
    return into, torch.maximum(into, out)


def circle_crossing(place: Tensor, slope: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """Start and end, in [0, 1], of lines in a circle at the centre; equal for lines that miss it; shapes (N, 1)."""
    square = slope.square().sum(dim=1, keepdim=True)
    along = (place * slope).sum(dim=1, keepdim=True)
    root = (along.square() - square * (place.square().sum(dim=1, keepdim=True) - radius**2)).clamp(min=0.0).sqrt()
    return ((-along - root) / square).clamp(0.0, 1.0), ((-along + root) / square).clamp(0.0, 1.0)


def not_parallel(slope: Tensor, smallest: float) -> Tensor:
    """Slopes with at least the absolute value `smallest`, so that one can divide by them."""
    return torch.where(slope < 0, -1.0, 1.0) * slope.abs().clamp(min=smallest)


def whole_rows(columns: Tensor) -> Tensor:
    """The columns (N, C), padded with copies of the first to a multiple of 16.

    onnxruntime computes the last few elements of a tensor with other code, so a logarithm could depend on the number
    of rows. Rows of 16 numbers leave no such remainder.
    """
    return torch.cat([columns, columns[:, :1].expand(-1, -columns.shape[1] % _ROW)], dim=1)
