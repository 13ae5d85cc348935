"""Light comes in tracks: a fibre that sees one photon sees a second one more often than Poisson counts do.

A generator that hands rates to a Poisson finish has single photons where Geant4 has pairs. So the light of each fibre
is spread about its mean with a variance of `clumping` times the mean, before it is counted: most dark fibres get
nothing, few get more. The random number of each fibre comes from the noise of the response, by arithmetic that every
machine rounds alike.
"""

import numpy as np
import torch
from torch import Tensor, nn

#: log(1 + photons) is clamped here: exp(11) - 1 = 59873 photons a fibre, under the 65535 of the file layout.
MAX_LOG_PHOTONS = 11.0
#: Numbers of noise that `FibreNumbers` takes, for the rows and for the columns of the face.
STREAMS = 2
_SMALLEST, _LARGEST = 64.0, 128.0  # cycles for a unit of noise: many, and few enough for 15 bits of the fraction
_FROM_ZERO = 6.0  # multiples of a number that is nearly 0 would be nearly equal
_TINY = 1e-10
_SEED = 20_260


def light_line(mean: Tensor, clumping: float) -> tuple[Tensor, Tensor]:
    """Light at the number 0, and how much less of it at the number 1; shapes of `mean`.

    max(0, first - second * u) has, for u uniform in [0, 1), the given mean and a variance of `clumping` * mean; it is
    cut at 0 where the mean is below 3 * clumping. Both are continuous in the mean, so that rounding moves little.
    """
    mean = mean + _TINY
    more = mean + clumping
    width = (mean * (12.0 * clumping)).sqrt()
    dark = mean < 3.0 * clumping
    return torch.where(dark, 1.5 * more, mean + 0.5 * width), torch.where(dark, 1.125 * more * (more / mean), width)


def spread_light(mean: Tensor, numbers: Tensor, clumping: float) -> Tensor:
    """Light of the given mean and a variance of `clumping` * mean, from numbers that are uniform in [0, 1)."""
    top, slope = light_line(mean, clumping)
    return torch.relu(top - slope * numbers)


def poisson_counts(rates: Tensor, generator: torch.Generator) -> Tensor:
    """Poisson counts that a gradient passes, as it does through rate + sqrt(rate) * (a number that was drawn).

    For rates below 1, where that is no approximation, the deviation's share of the derivative is held back.
    """
    fixed = rates.detach()
    counts = torch.poisson(fixed, generator=generator)
    return counts + (rates - fixed) * (1.0 + (counts - fixed) / (2.0 * fixed.clamp(min=1.0)))


class FibreNumbers(nn.Module):
    """A number in [0, 1) for each fibre from two numbers of noise.

    Fractions of multiples of the first one number the rows, of the second one the columns; a fibre has the fraction of
    the sum of its row's and its column's: any two fibres have independent numbers.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, shape: tuple[int, int]) -> None:
        super().__init__()
        rng = np.random.default_rng(_SEED)
        for name, count in zip(("rows", "columns"), shape, strict=True):
            # In a mixed order, with gaps of half the mean gap at least: equal cycles would be equal numbers.
            places = rng.permutation(np.arange(count) + 0.5 * rng.random(count))
            cycles = _SMALLEST + (_LARGEST - _SMALLEST) * places / count
            self.register_buffer(name, torch.from_numpy(cycles.astype(np.float32)), persistent=False)

    def forward(self, noise: Tensor) -> Tensor:
        """Shape (N, rows, columns), of standard normal noise (N, STREAMS)."""
        noise = noise + _FROM_ZERO
        down, across = _fraction(noise[:, :1] * self.rows), _fraction(noise[:, 1:] * self.columns)
        return _fraction(down[:, :, None] + across[:, None, :])


def _fraction(number: Tensor) -> Tensor:
    return number - number.floor()
