"""The terms of eq. 7 against direct computations."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from zdc_training.image_config import LossConfig, ReconstructionConfig
from zdc_training.learner import ObjectiveTerms
from zdc_training.losses import diversity, reconstruction_loss, sinkhorn_divergence


def test_mse_counts_visible_fibres_only() -> None:
    target, log_photons = torch.zeros(2, 3, 3), torch.zeros(2, 3, 3)
    log_photons[0, 0, 0], log_photons[1, 2, 2] = 2.0, 3.0
    visible = torch.ones(2, 3, 3)
    assert float(
        reconstruction_loss(ReconstructionConfig(reconstruction="mse"), log_photons, target, visible)
    ) == pytest.approx((4 + 9) / 18)
    visible[1, 2, 2] = 0
    assert float(
        reconstruction_loss(ReconstructionConfig(reconstruction="mse"), log_photons, target, visible)
    ) == pytest.approx(4 / 18)


def test_poisson_likelihood_is_smallest_at_the_counts() -> None:
    counts = torch.tensor([[[1.0, 7.0, 300.0]]])
    target, visible = counts.log1p(), torch.ones(1, 1, 3)
    best = float(reconstruction_loss(ReconstructionConfig(reconstruction="poisson"), target, target, visible))
    exact = float((counts - counts * counts.log()).mean())
    assert best == pytest.approx(exact, rel=1e-5)
    for factor in (0.9, 1.1):
        assert (
            float(
                reconstruction_loss(
                    ReconstructionConfig(reconstruction="poisson"), (counts * factor).log1p(), target, visible
                )
            )
            > best
        )


def test_divergence_approaches_optimal_transport_for_small_blur() -> None:
    generator = torch.Generator().manual_seed(5)
    x, y = torch.randn(60, 2, generator=generator), torch.randn(60, 2, generator=generator) + 1.5
    cost = 0.5 * torch.cdist(x, y).square()
    rows, columns = linear_sum_assignment(cost.numpy())
    exact = float(cost.numpy()[rows, columns].mean())
    # blur 0.02 against clouds of size 1: the entropic bias is O(eps log 1/eps) = 0.003.
    assert float(sinkhorn_divergence(0.02, 0.9)(x, y)) == pytest.approx(exact, rel=0.02)


def test_divergence_is_debiased() -> None:
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
    divergence = sinkhorn_divergence(0.5, 0.7)
    assert float(divergence(x, x)) == pytest.approx(0, abs=1e-5)
    assert float(divergence(x, x + 0.3)) == pytest.approx(0.5 * 3 * 0.09, rel=0.02)


@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0])
def test_diversity_is_the_masked_sum_of_squared_cosines(threshold: float) -> None:
    latents = torch.randn(9, 4, generator=torch.Generator().manual_seed(2))
    expected = 0.0
    for i in range(9):
        for j in range(9):
            a, b = latents[i].numpy(), latents[j].numpy()
            cosine = float(a @ b / math.sqrt((a @ a) * (b @ b)))
            if i != j and abs(cosine) >= threshold:
                expected += cosine**2
    assert float(diversity(latents, threshold)) == pytest.approx(expected / (9 * 8), abs=1e-6)


def test_objective_is_the_sum_of_its_terms() -> None:
    terms = ObjectiveTerms(reconstruction=torch.tensor(2.0), sinkhorn=torch.tensor(0.5))
    assert float(terms.total()) == 2.5


def test_condition_scale_is_one_number_or_nine() -> None:
    assert LossConfig(condition_scale=2.0).condition_scale == 2.0
    assert np.shape(LossConfig(condition_scale=(1.0,) * 9).condition_scale) == (9,)
    with pytest.raises(ValueError, match="needs 1 or 9 numbers, got 3"):
        LossConfig(condition_scale=(1.0, 2.0, 3.0))
