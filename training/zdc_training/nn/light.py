"""Fluctuations of the light of a fibre beyond Poisson counts.

A track gives several photons to one fibre, so photon counts are more clumped than Poisson counts: Poisson counts of
mean rates have single photons where Geant4 has pairs. Here the light L of a fibre is random with mean m and variance
``clumping`` * m, and the photon count is a Poisson count of L:

    mean n = m,    variance n = m + clumping * m.

Each fibre needs a random number, which `FibreNumbers` computes from the noise of the response. Its arithmetic rounds
equally on every machine.
"""

import numpy as np
import torch
from torch import Tensor, nn

#: log(1 + photons) is clamped here: exp(11) - 1 = 59873 photons a fibre, under the 65535 of the file layout.
MAX_LOG_PHOTONS = 11.0
#: Dimension of the noise for `FibreNumbers`: one number for the rows and one for the columns of the face.
STREAMS = 2
_SMALLEST, _LARGEST = 64.0, 128.0  # cycles per unit of noise; with these, float32 leaves 15 bits for the fraction
_FROM_ZERO = 6.0  # offset of the noise: multiples of a number close to 0 are nearly equal
_TINY = 1e-10
_SEED = 20_260


def clumping_of(mean: Tensor, clumping: float, knee: float | None) -> Tensor | float:
    """Clumping of fibres with a given mean light m: ``clumping`` / (1 + m / ``knee``); ``clumping`` without a knee.

    Bright fibres have the light of many tracks, whose sum varies less: energy is conserved.
    """
    return clumping if knee is None else clumping / (1.0 + mean / knee)


def light_line(mean: Tensor, clumping: Tensor | float) -> tuple[Tensor, Tensor]:
    """Intercept a and slope b of the light max(0, a - b u), for u uniform in [0, 1); shapes of `mean`.

    The light has the given mean m and the variance v = ``clumping`` * m. If m >= 3 * clumping, it is never cut at 0:
    b = sqrt(12 v), a = m + b / 2. Otherwise, with s = m + clumping, a = 3/2 s and b = 9/8 s^2 / m. Both are continuous
    in m, so rounding errors have little effect.
    """
    mean = mean + _TINY
    more = mean + clumping
    width = (mean * (12.0 * clumping)).sqrt()
    dark = mean < 3.0 * clumping
    return torch.where(dark, 1.5 * more, mean + 0.5 * width), torch.where(dark, 1.125 * more * (more / mean), width)


def spread_light(mean: Tensor, numbers: Tensor, clumping: Tensor | float) -> Tensor:
    """Light with the given mean and the variance ``clumping`` * mean, from numbers uniform in [0, 1)."""
    top, slope = light_line(mean, clumping)
    return torch.relu(top - slope * numbers)


def poisson_counts(rates: Tensor, generator: torch.Generator) -> Tensor:
    """Poisson counts n of rates r, with an approximate gradient.

    The gradient is that of r + sqrt(r) z with z = (n - r) / sqrt(r) fixed: dn/dr = 1 + (n - r) / (2 r). For r < 1 this
    approximation is poor, and the denominator is 2.
    """
    fixed = rates.detach()
    counts = torch.poisson(fixed, generator=generator)
    return counts + (rates - fixed) * (1.0 + (counts - fixed) / (2.0 * fixed.clamp(min=1.0)))


class FibreNumbers(nn.Module):
    """A number in [0, 1) for each fibre from two numbers of noise, a and b.

    With {x} the fractional part of x and fixed multipliers k_i, l_j, the fibre (i, j) has

        u_ij = {k_i a + l_j b}.

    The numbers of any two fibres are independent to good approximation.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, shape: tuple[int, int]) -> None:
        super().__init__()
        rng = np.random.default_rng(_SEED)
        for name, count in zip(("rows", "columns"), shape, strict=True):
            # In random order, with gaps of at least half the mean gap: equal multipliers would give equal numbers.
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
