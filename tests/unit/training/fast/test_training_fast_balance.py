"""The scores that keep mean, spread and shapes in balance at every energy, and the clumping of bright fibres."""

import pytest
import torch
from helpers.calorimeters import ZN
from helpers.models.training_runs import SMALL_FAST
from zdc_training.config.config import load_config
from zdc_training.config.fast import FastConfig
from zdc_training.fast.coarse_frame import CoarseFrame
from zdc_training.fast.losses import mean_score
from zdc_training.fast.shower_scores import ShowerScores
from zdc_training.nn.light import clumping_of, spread_light


def normal(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("shift", "spread"), [(0.0, 1.0), (0.0, 9.0), (3.0, 1.0), (-3.0, 9.0)])
def test_the_mean_score_has_the_error_of_the_mean_and_not_the_spread(shift: float, spread: float) -> None:
    simulated = 20 + 4 * normal(200_000, 1)
    generated = 20 + shift + spread * normal(3, 200_000, 1, seed=2)
    usual = torch.full((200_000, 1), 20.0)
    found = mean_score(generated, simulated, usual).mean().item() * (0.1 + 20 + 0.2 * 400)
    assert found == pytest.approx(shift**2 + 16, abs=0.02 * (spread**2 + 16))  # several standard errors


def test_bright_fibres_have_less_clumping() -> None:
    mean = torch.tensor([0.01, 1.0, 9.0])
    assert torch.allclose(
        torch.as_tensor(clumping_of(mean, 0.15, 1.0)), torch.tensor([0.1485, 0.075, 0.015]), atol=1e-4
    )
    assert clumping_of(mean, 0.15, None) == 0.15
    numbers = torch.rand(400_000, 3, generator=torch.Generator().manual_seed(3))
    light = spread_light(mean.expand_as(numbers), numbers, clumping_of(mean.expand_as(numbers), 0.15, 1.0))
    assert torch.allclose(light.mean(dim=0), mean, rtol=0.03)
    assert torch.allclose(light.var(dim=0) / mean, torch.tensor([0.1485, 0.075, 0.015]), rtol=0.05)


def test_shapes_are_in_units_of_their_spread_at_one_energy() -> None:
    frame = CoarseFrame(ZN, SMALL_FAST.reach)
    level = torch.linspace(-1, 1, 400)[:, None]
    light = torch.exp(2 * level) * 40 * (1 + 0.1 * normal(400, 1))
    photons = torch.zeros(400, frame.width)
    photons[:, frame.unit_of[43, 43]] = light[:, 0]
    visible = torch.ones_like(photons)
    units = []
    for levels in (None, torch.cat([torch.ones_like(level), level], dim=1)):
        scores = ShowerScores(frame)
        scores.fit(photons, visible, levels)
        units.append(float(scores.deviation[0]))  # of four times the logarithm of the photon sum
    assert units[0] == pytest.approx(4 * 2 / 3**0.5, rel=0.05)
    assert units[1] == pytest.approx(4 * 0.1, rel=0.1)


def test_the_configuration_for_particles_at_the_face_has_all_of_their_species() -> None:
    config = load_config("zn-fast-2")
    assert isinstance(config, FastConfig)
    assert config.model.entry == "block"
    assert {22, 11, 2112, 2212, 130, 211, 321} <= {abs(code) for code in config.species}
    assert len(config.model.decay_lengths) == len(config.species)
