"""Light comes in tracks: a fibre that sees one photon sees a second one more often than Poisson counts do.

A generator that hands rates to a Poisson finish has single photons where Geant4 has pairs. So the light of each fibre
is spread about its mean with a variance of `clumping` times the mean, before it is counted: most dark fibres get
nothing, few get more. The random number of each fibre comes from the noise of the response, by arithmetic that every
machine rounds alike.
"""

import numpy as np
import torch
from torch import Tensor, nn

#: Numbers of noise that `FibreNumbers` takes. One would give some pairs of fibres nearly the same number.
STREAMS = 2
_SMALLEST, _LARGEST = 64.0, 128.0  # cycles for a unit of noise: many, and few enough for 15 bits of the fraction
_TINY = 1e-10
_SEED = 20_260


def spread_light(mean: Tensor, numbers: Tensor, clumping: float) -> Tensor:
    """Light of the given mean and a variance of `clumping` * mean, from numbers that are uniform in [0, 1).

    A line that falls with the number, cut at 0 where the mean is below 3 * clumping; continuous in the mean, so that
    rounding cannot move it by much.
    """
    mean = mean + _TINY
    more = mean + clumping
    width = (mean * (12.0 * clumping)).sqrt()
    dark = mean < 3.0 * clumping
    top = torch.where(dark, 1.5 * more, mean + 0.5 * width)
    slope = torch.where(dark, 1.125 * more * (more / mean), width)
    return torch.relu(top - slope * numbers)


class FibreNumbers(nn.Module):
    """A number in [0, 1) for each fibre from `STREAMS` numbers of noise: fractions of multiples of them, added."""

    cycles: Tensor

    def __init__(self, shape: tuple[int, int]) -> None:
        super().__init__()
        drawn = np.random.default_rng(_SEED).uniform(_SMALLEST, _LARGEST, (STREAMS, *shape))
        self.register_buffer("cycles", torch.from_numpy(drawn.astype(np.float32)))

    def forward(self, noise: Tensor) -> Tensor:
        """Shape (N, rows, columns), of standard normal noise (N, STREAMS)."""
        turns = _fraction(noise[:, 0, None, None] * self.cycles[0]) + _fraction(
            noise[:, 1, None, None] * self.cycles[1]
        )
        return _fraction(turns)


def _fraction(number: Tensor) -> Tensor:
    return number - number.floor()
