"""The terms of the objectives against direct computations and another implementation of optimal transport."""

import math
from collections.abc import Callable

import numpy as np
import ot
import pytest
import torch
from zdc_training.config.images import LossConfig, ReconstructionConfig
from zdc_training.images.losses import (
    diameter,
    diversity,
    laplacian_distance,
    laplacian_pyramid,
    mean_discrepancy,
    reconstruction_loss,
    sinkhorn_divergence,
    sliced_distance,
)
from zdc_training.nn.learner import ObjectiveTerms

MSE = ReconstructionConfig(reconstruction="mse")
POISSON = ReconstructionConfig(reconstruction="poisson")


def normal(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_mse_counts_visible_fibres_only() -> None:
    target, log_photons = torch.zeros(2, 3, 3), torch.zeros(2, 3, 3)
    log_photons[0, 0, 0], log_photons[1, 2, 2] = 2.0, 3.0
    visible = torch.ones(2, 3, 3)
    assert float(reconstruction_loss(MSE, log_photons, target, visible)) == pytest.approx((4 + 9) / 18)
    visible[1, 2, 2] = 0
    assert float(reconstruction_loss(MSE, log_photons, target, visible)) == pytest.approx(4 / 18)


def test_poisson_likelihood_is_smallest_at_the_counts() -> None:
    counts = torch.tensor([[[1.0, 7.0, 300.0]]])
    target, visible = counts.log1p(), torch.ones(1, 1, 3)
    best = float(reconstruction_loss(POISSON, target, target, visible))
    exact = float((counts - counts * counts.log()).mean())
    assert best == pytest.approx(exact, rel=1e-5)
    for factor in (0.9, 1.1):
        assert float(reconstruction_loss(POISSON, (counts * factor).log1p(), target, visible)) > best


def test_a_pyramid_holds_the_image_and_ends_below_four_fibres() -> None:
    levels = laplacian_pyramid(normal(3, 44, 44))
    assert [tuple(level.shape[1:]) for level in levels] == [(44, 44), (22, 22), (11, 11), (6, 6), (3, 3)]
    flat = laplacian_pyramid(torch.ones(1, 30, 20))
    assert all(float(level.abs().max()) < 1e-6 for level in flat[:-1])  # a constant has no detail
    assert torch.allclose(flat[-1], torch.ones_like(flat[-1]))
    x, y = normal(2, 44, 44), normal(2, 44, 44, seed=2)
    for a, b, both in zip(laplacian_pyramid(x), laplacian_pyramid(y), laplacian_pyramid(x - y), strict=True):
        assert torch.allclose(a - b, both, atol=1e-5)


def test_levels_of_the_laplacian_distance_weigh_four_times_the_last() -> None:
    x = normal(2, 44, 44)
    expected = sum(4**j * level.abs().sum().item() / (2 * 44 * 44) for j, level in enumerate(laplacian_pyramid(x)))
    assert float(laplacian_distance(x)) == pytest.approx(expected, rel=1e-5)


def test_both_alphas_are_numbers_of_their_own() -> None:
    x, zero, visible = normal(2, 44, 44), torch.zeros(2, 44, 44), torch.ones(2, 44, 44)
    config = ReconstructionConfig(reconstruction="laplacian", pyramid_weight=0.3, reconstruction_weight=5.0)
    expected = 5.0 * (0.3 * float(laplacian_distance(x)) + float(x.square().mean()))
    assert float(reconstruction_loss(config, x, zero, visible)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("blur", [0.5, 1.0])
def test_divergence_is_that_of_another_implementation(blur: float) -> None:
    """POT's cost is |x - y|^2, twice that of eq. 3, and its entropy is KL against the product up to a constant.

    The debiased divergence is free of the constant; halving cost and result, epsilon = blur^2 becomes 2 blur^2.
    """
    x, y = normal(40, 3).double(), normal(50, 3, seed=2).double() * 0.7 + 1.0
    found = float(sinkhorn_divergence(blur, 0.95)(x, y))

    def cost(a: torch.Tensor, b: torch.Tensor) -> float:
        """OT_eps of eq. 3."""
        weights = [np.full(len(cloud), 1 / len(cloud)) for cloud in (a, b)]
        half = 0.5 * ot.dist(a.numpy(), b.numpy())
        plan = ot.sinkhorn(*weights, half, blur**2, method="sinkhorn_log", numItermax=20000, stopThr=1e-7)
        divergence = float((plan * np.log(plan / np.outer(*weights))).sum())
        return float((plan * half).sum()) + blur**2 * divergence

    expected = cost(x, y) - 0.5 * (cost(x, x) + cost(y, y))
    assert found == pytest.approx(expected, rel=2e-3)


def test_divergence_approaches_optimal_transport_for_small_blur() -> None:
    x, y = normal(60, 2), normal(60, 2, seed=2) + 1.5
    exact = 0.5 * float(ot.emd2([], [], ot.dist(x.double().numpy(), y.double().numpy())))
    # blur 0.02 against clouds of size 1: the entropic bias is O(eps log 1/eps) = 0.003.
    assert float(sinkhorn_divergence(0.02, 0.9)(x, y)) == pytest.approx(exact, rel=0.02)


def test_divergence_is_debiased() -> None:
    x = normal(50, 3)
    divergence = sinkhorn_divergence(0.5, 0.7)
    assert float(divergence(x, x)) == pytest.approx(0, abs=1e-5)
    assert float(divergence(x, x + 0.3)) == pytest.approx(0.5 * 3 * 0.09, rel=0.02)


def test_a_blur_above_the_scale_of_the_clouds_sees_their_means_alone() -> None:
    x = normal(200, 3)
    wide, narrow = x - x.mean(dim=0), 0.2 * (x - x.mean(dim=0))
    assert float(sinkhorn_divergence(0.05, 0.5)(wide, narrow)) > 0.5
    assert float(sinkhorn_divergence(20.0, 0.5)(wide, narrow)) < 0.01


def test_the_diameter_is_that_of_the_box() -> None:
    assert diameter(torch.tensor([[0.0, 0.0], [3.0, 1.0], [1.0, 4.0]])) == pytest.approx(5.0)


@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0])
def test_diversity_is_the_masked_sum_of_squared_cosines(threshold: float) -> None:
    latents = normal(9, 4, seed=2)
    expected = 0.0
    for i in range(9):
        for j in range(9):
            a, b = latents[i].numpy(), latents[j].numpy()
            cosine = float(a @ b / math.sqrt((a @ a) * (b @ b)))
            if i != j and abs(cosine) >= threshold:
                expected += cosine**2
    assert float(diversity(latents, threshold)) == pytest.approx(expected / (9 * 8), abs=1e-6)


def test_the_discrepancy_is_the_unbiased_one_and_sees_a_shift_and_a_scale() -> None:
    x, y = normal(7, 4), normal(7, 4, seed=2)

    def kernel(a: torch.Tensor, b: torch.Tensor) -> float:
        squared = float((a - b).square().sum())
        return sum(8 * s / (8 * s + squared) for s in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0))

    within = sum(kernel(c[i], c[j]) for c in (x, y) for i in range(7) for j in range(7) if i != j) / (7 * 6)
    between = 2 * sum(kernel(a, b) for a in x for b in y) / 49
    assert float(mean_discrepancy(x, y)) == pytest.approx(within - between, abs=1e-5)
    many, others = normal(600, 4), normal(600, 4, seed=2)
    alike = float(mean_discrepancy(many, others))
    assert abs(alike) < 0.01
    assert float(mean_discrepancy(many, others + 0.5)) > 0.1
    assert float(mean_discrepancy(many, others * 0.5)) > 0.1


def test_the_sliced_distance_is_that_of_another_implementation() -> None:
    x, y, directions = normal(50, 4), normal(50, 4, seed=2) + 0.5, normal(30, 4, seed=3)
    unit = (directions / directions.norm(dim=1, keepdim=True)).T.double().numpy()
    expected = ot.sliced_wasserstein_distance(x.double().numpy(), y.double().numpy(), projections=unit) ** 2
    assert float(sliced_distance(x, y, directions)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", [sinkhorn_divergence(0.1, 0.5), mean_discrepancy])
def test_what_compares_points_keeps_its_digits_under_autocast(loss: Callable[..., torch.Tensor]) -> None:
    x, y = normal(64, 16), normal(64, 16, seed=2)
    plain = float(loss(x, y))
    with torch.autocast("cpu", torch.bfloat16):
        assert (x @ y.T).dtype == torch.bfloat16
        assert float(loss(x, y)) == plain


def test_objective_is_the_sum_of_its_terms() -> None:
    terms = ObjectiveTerms(reconstruction=torch.tensor(2.0), sinkhorn=torch.tensor(0.5))
    assert float(terms.total()) == 2.5


def test_condition_scale_is_one_number_or_nine() -> None:
    assert LossConfig(condition_scale=2.0).condition_scale == 2.0
    assert np.shape(LossConfig(condition_scale=(1.0,) * 9).condition_scale) == (9,)
    with pytest.raises(ValueError, match="needs 1 or 9 numbers, got 3"):
        LossConfig(condition_scale=(1.0, 2.0, 3.0))
