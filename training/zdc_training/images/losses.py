"""Distances between images and between point clouds, the terms of the objectives (paper, sections 3.1-3.3).

Blur and the scale of the latent
--------------------------------
`blur` is geomloss's name for the square root of epsilon in eq. 3, in the units of the latent: the Sinkhorn divergence
cannot distinguish points that are closer than the blur. Two errors would give no message:

- With a blur larger than the distances between latents, the divergence compares only the means.
- geomloss reduces epsilon from the diameter of the clouds to the blur. With a `diameter` argument below the blur, it
  makes only two iterations, which do not converge. So this code gives no diameter, and geomloss computes it.

`fit` logs the diameter of encoded latents at each validation, and warns if it is below ten times the blur.

geomloss's cost for p = 2 is |x - y|^2 / 2, the c of section 3.2: its divergence is half of one with |x - y|^2.
"""

from collections.abc import Callable

import torch
from geomloss import SamplesLoss
from torch import Tensor, nn

from zdc_training.config.images import ReconstructionConfig
from zdc_training.nn.precision import exact

#: Factors on the scale of the MMD kernel; the kernel is the sum over them, as in the code of the WAE paper.
_KERNEL_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

_SMALLEST = 4  # fibres; images with shorter sides are not halved again in a pyramid


def reconstruction_loss(config: ReconstructionConfig, log_photons: Tensor, target: Tensor, visible: Tensor) -> Tensor:
    """The weighted L_recon of section 3.1, mean over fibres; invisible fibres contribute 0.

    With y = log(1 + photons), y' its reconstruction, photons x and rates r = exp(y') - 1,

        mse:        (y' - y)^2
        laplacian:  (y' - y)^2 + alpha Lap_1(y' - y)    (eq. 2, see `laplacian_distance`)
        poisson:    r - x log r, the negative log-likelihood without the term log x!

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
    """The Laplacian pyramid L^j of eq. 1: L^j = I_j - B I_j; I_(j+1) is every second pixel of B I_j; the last is I_j.

    B is the binomial kernel (1, 4, 6, 4, 1) / 16 in both directions, with mirrored edges. The paper gives neither the
    kernel nor the number of levels: here sides are halved while they have four fibres or more.

    References
    ----------
    Burt and Adelson, "The Laplacian pyramid as a compact image code", IEEE Trans. Commun. 31, 1983.

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
    """Lap_1 of eq. 1: sum over levels j of 2^(2j) |L^j(x) - L^j(x')|_1, per fibre, mean over showers.

    The pyramid is linear, so L^j(x) - L^j(x') = L^j(x - x'). Level j has 2^(2j) times fewer pixels than the image; the
    weight 2^(2j) gives all levels the same influence.

    Parameters
    ----------
    difference : x - x', shape (N, rows, columns).
    """
    fibres = difference[0].numel()
    levels = laplacian_pyramid(difference)
    return torch.stack([4.0**j * level.abs().sum(dim=(1, 2)).mean() / fibres for j, level in enumerate(levels)]).sum()


def sinkhorn_divergence(blur: float, scaling: float) -> Callable[[Tensor, Tensor], Tensor]:
    """The debiased Sinkhorn divergence of eq. 4, as a function of two point clouds (N, D).

    With the cost c = |x - y|^2 / 2 and epsilon = blur^2,

        W(P, Q) = min over couplings pi of  E_pi[c] + epsilon KL(pi | P x Q)    (eq. 3)
        S(P, Q) = W(P, Q) - (W(P, P) + W(Q, Q)) / 2                             (eq. 4)

    The tensorised backend is set because the automatic choice may be KeOps, which compiles code at run time.

    Parameters
    ----------
    scaling : Ratio of successive blurs in the annealing of the iterations, in (0, 1).

    References
    ----------
    Feydy et al., "Interpolating between optimal transport and MMD using Sinkhorn divergences", AISTATS 2019.
    """
    divergence: Callable[[Tensor, Tensor], Tensor] = SamplesLoss(
        "sinkhorn", p=2, blur=blur, scaling=scaling, debias=True, backend="tensorized"
    )
    return exact(divergence)


def diameter(cloud: Tensor) -> float:
    """Diagonal of the bounding box of a point cloud (N, D), the diameter that geomloss computes."""
    return float((cloud.max(dim=0).values - cloud.min(dim=0).values).norm())


@exact
def diversity(latents: Tensor, threshold: float) -> Tensor:
    """R_s of eq. 5-6 per pair of latents.

        R_s = 1 / (N (N - 1)) sum over i != j with |s_ij| >= tau of s_ij^2,    s_ij = z_i . z_j / (|z_i| |z_j|)

    Parameters
    ----------
    latents : Shape (N, D).
    threshold : tau of eq. 6.
    """
    unit = nn.functional.normalize(latents, dim=1)
    similarity = unit @ unit.T
    similarity = similarity - torch.diag(torch.diagonal(similarity))
    kept = similarity.abs() >= threshold
    n = len(latents)
    return (similarity.square() * kept).sum() / (n * (n - 1))


@exact
def mean_discrepancy(x: Tensor, y: Tensor) -> Tensor:
    """Unbiased squared maximum mean discrepancy of two point clouds (N, D); it can be negative for equal distributions.

        MMD^2 = (sum over i != j of k(x_i, x_j) + k(y_i, y_j)) / (N (N - 1)) - 2 / N^2 sum over i, j of k(x_i, y_j)
        k(x, y) = sum over scales s of C_s / (C_s + |x - y|^2),    C_s = 2 D s

    2 D is the expected squared distance of two samples of the standard normal prior.

    References
    ----------
    Tolstikhin et al., "Wasserstein auto-encoders", arXiv 1711.01558, section 4, and the code of that paper.
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
    """Squared sliced 2-Wasserstein distance of two point clouds (N, D), mean over directions and points.

        SW^2 = 1 / (K N) sum over k, i of ((x . t_k)_(i) - (y . t_k)_(i))^2

    t_k are the directions with length 1, and _(i) is the i-th smallest value: in one dimension, the optimal transport
    pairs the sorted points.

    Parameters
    ----------
    directions : Shape (K, D), of any length.

    References
    ----------
    Kolouri et al., "Sliced-Wasserstein autoencoder", arXiv 1804.01947.
    """
    unit = nn.functional.normalize(directions, dim=1).T
    return ((x @ unit).sort(dim=0).values - (y @ unit).sort(dim=0).values).square().mean()
