"""Quantities that are compared between generated and simulated showers, differentiable in the counts of the units.

The square root of a Poisson count has a standard deviation of 1/2 for any mean, so faint and bright parts have equal
weight.
"""

import torch
from torch import Tensor, nn

from zdc_training.fast.coarse_frame import CoarseFrame

_BRIGHTEST = 10


class ShowerScores(nn.Module):
    """Features and images of counts (..., N, U) in the units of a frame.

    Features are those of the classifier of `zdc_metrics`: photon sum, centroid, widths, lit fibres, single photons and
    the brightest fibres. Images are the fibres around the cell that is hit, and sums over larger and larger squares.
    """

    place: Tensor
    pools: Tensor
    near: Tensor
    core: Tensor
    deviation: Tensor

    def __init__(self, frame: CoarseFrame) -> None:
        super().__init__()
        rows, columns = frame.shape
        grid = torch.stack(
            torch.meshgrid(torch.arange(2.0 * rows - 1) - rows + 1, torch.arange(2.0 * columns - 1) - columns + 1,
                           indexing="ij"), dim=-1).reshape(-1, 2)  # fmt: skip
        unit_of = frame.unit_of.flatten()
        fibres = torch.bincount(unit_of, minlength=frame.width).clamp(min=1)
        place = torch.zeros(frame.width, 2).index_add(0, unit_of, grid) / fibres[:, None]
        distance = place.abs().amax(dim=1)
        used = torch.arange(frame.width) < frame.units
        single = used & (fibres == 1)
        self.register_buffer("place", place, persistent=False)
        self.register_buffer("core", torch.nonzero(single)[:, 0], persistent=False)
        self.register_buffer("near", torch.nonzero(single & (distance <= 3))[:, 0], persistent=False)
        # Pools: squares of 3 x 3 fibres if units are fibres, quadrants of shells at larger distances.
        quadrant = (place[:, 0] >= 0) * 2 + (place[:, 1] >= 0)
        shell = torch.bucketize(distance, torch.tensor([12.0, 19.0]))
        square = torch.div(place + 1, 3, rounding_mode="floor")
        key = torch.where(single[:, None], square, torch.stack([1e3 + shell, quadrant.float()], dim=1))
        pool = torch.unique(key[used], dim=0, return_inverse=True)[1]
        pools = nn.functional.one_hot(pool, int(pool.max()) + 1).float()
        padded = torch.cat([pools, torch.zeros(frame.width - frame.units, pools.shape[1])])
        self.register_buffer("pools", padded, persistent=False)
        self.register_buffer("deviation", torch.ones(7 + _BRIGHTEST))

    @torch.no_grad()
    def fit(self, photons: Tensor, visible: Tensor, levels: Tensor | None = None) -> None:
        """Set the scale of the features from simulated showers, shape (N, U).

        Parameters
        ----------
        levels : Functions of each particle, shape (N, L), whose linear fit is subtracted from the features before their
            standard deviation is taken; None: their mean is subtracted.
        """
        lit = photons.sum(dim=1) > 0
        found = self._features(photons, visible)[lit]
        if levels is not None:
            functions = levels[lit].double()
            fitted = torch.linalg.lstsq(functions, found.double(), driver="gelsd").solution
            found = found - (functions @ fitted).float()
        self.deviation.copy_(found.std(dim=0))

    def features(self, photons: Tensor, visible: Tensor) -> Tensor:
        """Features, shape (..., N, 17), in units of the deviations of `fit`."""
        return self._features(photons, visible) / self.deviation

    def images(self, photons: Tensor) -> Tensor:
        """Twice the square roots of counts near the cell that is hit and in the pools, shape (..., N, D)."""
        return 2.0 * torch.cat([photons[..., self.near], photons @ self.pools], dim=-1).clamp(min=0).add(0.5).sqrt()

    def _features(self, photons: Tensor, visible: Tensor) -> Tensor:
        photons = photons.clamp(min=0)
        total = photons.sum(dim=-1)
        centre = (photons @ self.place) / (total + 1)[..., None]
        square = (photons @ self.place.square()) / (total + 1)[..., None]
        width = (square - centre.square()).clamp(min=0).add(0.05).sqrt()
        core = photons[..., self.core]
        # Smooth numbers of lit fibres and of single photons; the photons of a coarse unit are spread over its fibres.
        fibres = visible.clamp(min=1)
        lit = torch.where(visible > 1, fibres * -torch.expm1(-photons / fibres), -torch.expm1(-3.0 * photons))
        single = torch.exp(-((core - 1.0) / 0.4).square())
        counted = [lit.sum(dim=-1).add(1).sqrt(), single.sum(dim=-1).add(1).sqrt()]
        brightest = core.topk(_BRIGHTEST, dim=-1).values.add(0.5).sqrt()
        return torch.cat(
            [4 * total[..., None].log1p(), 2 * centre, 2 * width, torch.stack(counted, dim=-1), brightest], dim=-1
        )
