"""Light that varies around its mean: moments, continuity, uniform and independent numbers."""

import numpy as np
import pytest
import torch
from zdc_training.nn.light import STREAMS, FibreNumbers, spread_light

CLUMPING = 0.17


@pytest.mark.parametrize("mean", [0.003, 0.05, 0.3, 0.6, 4.0, 500.0])
def test_light_has_its_mean_and_a_variance_in_proportion(mean: float) -> None:
    numbers = (torch.arange(1_000_000, dtype=torch.float64) + 0.5) / 1_000_000
    light = spread_light(torch.tensor(mean, dtype=torch.float64), numbers, CLUMPING)
    assert float(light.min()) >= 0
    assert float(light.mean()) == pytest.approx(mean, rel=1e-3)
    assert float(light.var()) == pytest.approx(CLUMPING * mean, rel=1e-2)


def test_light_is_continuous_in_the_mean() -> None:
    mean, numbers = torch.linspace(1e-6, 3, 200_001), torch.tensor([[0.0], [0.2], [0.7], [0.99]])
    steps = spread_light(mean, numbers, CLUMPING).diff(dim=1).abs()
    assert float(steps[:, 2000:].max()) < 1e-3


def test_a_dark_fibre_that_has_a_photon_often_has_two() -> None:
    generator = torch.Generator().manual_seed(1)
    numbers = torch.rand(4_000_000, generator=generator)
    counts = torch.poisson(spread_light(torch.tensor(0.02), numbers, CLUMPING), generator=generator)
    ratio = float((counts == 2).sum() / (counts == 1).sum())
    assert ratio == pytest.approx((CLUMPING + 0.02) / 2, rel=0.15)  # Poisson counts: 0.01


def test_fibre_numbers_are_uniform_and_independent_of_each_other() -> None:
    noise = torch.randn(4000, STREAMS, generator=torch.Generator().manual_seed(2))
    numbers = FibreNumbers((44, 44))(noise).flatten(1)
    assert float(numbers.min()) >= 0
    assert float(numbers.max()) < 1
    counts = np.bincount((numbers.flatten().numpy() * 50).astype(int), minlength=50)
    assert np.abs(counts / counts.mean() - 1).max() < 0.01
    correlation = np.corrcoef(numbers.numpy().T)
    np.fill_diagonal(correlation, 0)
    assert np.abs(correlation).mean() < 0.8 / len(noise) ** 0.5 * 1.1  # what independent numbers have, and a tenth
    assert np.mean(np.abs(correlation) > 0.2) < 1e-3
    total = numbers.sum(dim=1)
    assert float(total.var()) == pytest.approx(numbers.shape[1] / 12, rel=0.15)


def test_fibre_numbers_are_the_same_in_any_batch() -> None:
    noise = torch.randn(50, STREAMS, generator=torch.Generator().manual_seed(2))
    numbers = FibreNumbers((5, 7))
    assert torch.equal(numbers(noise)[7], numbers(noise[7:8])[0])
    shifted = noise[7].numpy() + np.float32(6)
    down, across = shifted[0] * numbers.rows.numpy(), shifted[1] * numbers.columns.numpy()
    both = (down - np.floor(down))[:, None] + (across - np.floor(across))
    assert np.array_equal(numbers(noise)[7].numpy(), both - np.floor(both))
