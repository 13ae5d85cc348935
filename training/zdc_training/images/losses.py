"""Distances of images and of point clouds, of which objectives are made (paper, sections 3.1-3.3).

Blur and the scale of the latent
--------------------------------
`blur` is geomloss's name for the square root of epsilon in eq. 3, in the units of the latent: Sinkhorn cannot tell
apart what is closer than that. Two things go wrong without a word:

- A blur above the distances between latents makes the divergence blind: it then compares the means alone.
- geomloss anneals epsilon from the diameter of the clouds down to the blur; a `diameter` below the blur leaves two
  iterations, however far from converged. So none is given: geomloss measures it.

`fit` logs the diameter of encoded latents at each validation, and warns if it is below ten times the blur.

geomloss's cost for p = 2 is |x - y|^2 / 2, the c of section 3.2: its divergence is half of one with |x - y|^2.
"""

from collections.abc import Callable

import torch
from geomloss import SamplesLoss
from torch import Tensor, nn

from zdc_training.config.images import ReconstructionConfig
from zdc_training.nn.precision import exact

#: Multiples of the scale of the MMD's kernel that are summed, as in the Wasserstein autoencoders' code.
_KERNEL_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

_SMALLEST = 4  # fibres along a side of the last level of a pyramid, before it is halved once more


def reconstruction_loss(config: ReconstructionConfig, log_photons: Tensor, target: Tensor, visible: Tensor) -> Tensor:
    """The weighted L_recon of section 3.1, mean over fibres; those that are not visible add nothing.

    ``mse`` compares log(1 + photons); ``laplacian`` adds the pyramid (eq. 2); ``poisson`` is the negative
    log-likelihood of the counts, without the term that depends on the counts alone.

    Parameters
    ----------
    log_photons, target : log(1 + photons), shape (N, rows, columns).
    visible : 1 or 0 for each fibre, same shape.
    """
    difference = (log_photons - target) * visible
    match config.reconstruction:
        case "mse":
            loss = difference.square().mean()
        case "laplacian":
            loss = config.pyramid_weight * laplacian_distance(difference) + difference.square().mean()
        case "poisson":
            rate, counts = torch.expm1(log_photons), torch.expm1(target)
            loss = ((rate - counts * torch.log(rate + 1e-8)) * visible).mean()
    return config.reconstruction_weight * loss


def laplacian_pyramid(images: Tensor) -> list[Tensor]:
    """L^j of eq. 1: each level less itself blurred, from which the next, half as large, is taken; the last as it is.

    Blurred with the binomial kernel (1, 4, 6, 4, 1) / 16 in both directions and mirrored at the edges. The paper gives
    neither the kernel nor the number of levels: sides are halved while they have four fibres or more.

    Parameters
    ----------
    images : Shape (N, rows, columns).
    """
    line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=images.device, dtype=images.dtype) / 16
    kernel = torch.outer(line, line)[None, None]
    levels, here = [], images.unsqueeze(1)
    while min(here.shape[2:]) >= _SMALLEST:
        blurred = nn.functional.conv2d(nn.functional.pad(here, (2, 2, 2, 2), mode="reflect"), kernel)
        levels.append(here - blurred)
        here = blurred[:, :, ::2, ::2]
    return [level.squeeze(1) for level in (*levels, here)]


def laplacian_distance(difference: Tensor) -> Tensor:
    """Lap_1 of eq. 1 of x - x', shape (N, rows, columns), mean over showers and over the fibres of the image.

    A pyramid is linear, so that of a difference is the difference of the pyramids. A level has 2^(2j) times fewer
    pixels than the image: with the weight 2^(2j) every level counts alike.
    """
    fibres = difference[0].numel()
    levels = laplacian_pyramid(difference)
    return torch.stack([4.0**j * level.abs().sum(dim=(1, 2)).mean() / fibres for j, level in enumerate(levels)]).sum()


def sinkhorn_divergence(blur: float, scaling: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Debiased S_{c, eps} of eq. 4 with c = |x - y|^2 / 2 and eps = blur^2, between two point clouds (N, D).

    The tensorised backend is named because the automatic one may pick KeOps, which compiles at run time.
    """
    divergence: Callable[[Tensor, Tensor], Tensor] = SamplesLoss(
        "sinkhorn", p=2, blur=blur, scaling=scaling, debias=True, backend="tensorized"
    )
    return exact(divergence)


def diameter(cloud: Tensor) -> float:
    """Diagonal of the box around a cloud of points (N, D), as geomloss measures it."""
    return float((cloud.max(dim=0).values - cloud.min(dim=0).values).norm())


@exact
def diversity(latents: Tensor, threshold: float) -> Tensor:
    """R_s of eq. 5-6 per pair: mean over i != j of the squared cosine similarity where |similarity| >= tau."""
    unit = nn.functional.normalize(latents, dim=1)
    similarity = unit @ unit.T
    similarity = similarity - torch.diag(torch.diagonal(similarity))
    kept = similarity.abs() >= threshold
    n = len(latents)
    return (similarity.square() * kept).sum() / (n * (n - 1))


@exact
def mean_discrepancy(x: Tensor, y: Tensor) -> Tensor:
    """Squared maximum mean discrepancy of two point clouds (N, D), without bias: below 0 by chance where they agree.

    The kernel is the sum over scales s of C / (C + |x - y|^2) with C = 2 D s, the expected squared distance of two
    samples of a standard normal prior times s (Tolstikhin et al., "Wasserstein auto-encoders", arXiv 1711.01558,
    section 4 and the paper's code).
    """
    n, dimension = x.shape

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        squared = (a.square().sum(1)[:, None] + b.square().sum(1) - 2.0 * a @ b.T).clamp(min=0.0)
        return torch.stack([2.0 * dimension * s / (2.0 * dimension * s + squared) for s in _KERNEL_SCALES]).sum(dim=0)

    others = n * (n - 1)
    itself = len(_KERNEL_SCALES) * n  # the kernel of every point with itself
    within = (kernel(x, x).sum() + kernel(y, y).sum() - 2 * itself) / others
    return within - 2.0 * kernel(x, y).mean()


@exact
def sliced_distance(x: Tensor, y: Tensor, directions: Tensor) -> Tensor:
    """Squared sliced 2-Wasserstein distance of two point clouds (N, D): the mean over directions (K, D).

    In one dimension the optimal transport pairs the sorted points (Kolouri et al., "Sliced-Wasserstein autoencoder",
    arXiv 1804.01947).
    """
    unit = nn.functional.normalize(directions, dim=1).T
    return ((x @ unit).sort(dim=0).values - (y @ unit).sort(dim=0).values).square().mean()
