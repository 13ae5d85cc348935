"""The objective of the fast generator: scores, gradients through counts, every term and every parameter."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from helpers.calorimeters import ZN
from helpers.files.shower_samples import DATA
from helpers.models.training_runs import SMALL_FAST
from zdc_detector.showers import read_showers
from zdc_metrics import fair_crps
from zdc_metrics.scores.classifier import FEATURES, shower_features
from zdc_training.config.fast import FastLossConfig
from zdc_training.fast.learner import turned
from zdc_training.fast.losses import (
    FastBatch,
    FastObjective,
    channel_score,
    crps,
    energy_score,
    poisson_deviance,
)
from zdc_training.fast.model import FastAutoencoder
from zdc_training.nn.light import poisson_counts


@pytest.fixture(scope="module")
def model() -> FastAutoencoder:
    """Untrained networks."""
    torch.manual_seed(4)
    return FastAutoencoder(SMALL_FAST, ZN)


@pytest.fixture(scope="module")
def batch(model: FastAutoencoder) -> FastBatch:
    """Geant4 showers."""
    whole = turned(model, read_showers(DATA / "zn_geant4_test.h5")[:120])
    return FastBatch(*(getattr(whole, field.name).float() for field in fields(whole)))


def normal(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_crps_is_the_fair_one_and_the_energy_score_in_one_dimension() -> None:
    generated, simulated = 5 * normal(4, 30, 3), 5 * normal(30, 3, seed=2)
    found = crps(generated, simulated)
    expected = fair_crps(simulated.numpy()[:, None], generated.numpy().transpose(1, 0, 2))
    assert np.allclose(found.mean(dim=1).numpy(), expected, atol=1e-5)
    assert torch.allclose(energy_score(generated[..., :1], simulated[..., :1]), found[:, 0], atol=1e-3)


@pytest.mark.parametrize(("shift", "scale"), [(0.3, 1.0), (0.0, 0.6), (0.0, 1.5)])
def test_the_energy_score_is_smallest_for_the_right_distribution(shift: float, scale: float) -> None:
    simulated, generated = normal(20_000, 4, seed=3), normal(3, 20_000, 4, seed=5)
    right, wrong = (energy_score(a * generated + b, simulated).mean() for a, b in ((1.0, 0.0), (scale, shift)))
    assert right < wrong - 0.01


def test_counts_have_a_poisson_law_and_pass_a_gradient() -> None:
    rates = torch.full((200_000,), 7.0, requires_grad=True)
    counts = poisson_counts(rates, torch.Generator().manual_seed(1))
    assert counts.mean().item() == pytest.approx(7, abs=0.03)
    assert counts.var().item() == pytest.approx(7, rel=0.02)
    assert torch.equal(counts.detach(), counts.detach().round())
    torch.autograd.backward(counts.square().sum())  # the mean square is rate^2 + rate, its derivative 2 rate + 1
    assert rates.grad is not None
    assert rates.grad.mean().item() == pytest.approx(15, rel=0.01)
    faint = torch.full((1000,), 1e-4, requires_grad=True)
    torch.autograd.backward(poisson_counts(faint, torch.Generator().manual_seed(1)).sum())
    assert faint.grad is not None
    assert faint.grad.abs().max().item() < 2


def test_the_deviance_is_0_for_rates_equal_to_the_counts() -> None:
    counts = torch.tensor([[0.0, 1.0, 7.0]])
    assert poisson_deviance(counts, counts).item() == pytest.approx(0, abs=1e-5)
    assert poisson_deviance(counts + 1, counts).item() > 0.5
    assert poisson_deviance(torch.zeros_like(counts), 0 * counts).item() == 0


def test_the_channel_score_gives_faint_showers_their_share() -> None:
    generated, simulated = 3 + normal(3, 50, 5), 3 + normal(50, 5, seed=2)
    bright = channel_score(100 * generated, 100 * simulated, torch.full((50, 1), np.log(100.0)))
    faint = channel_score(generated, simulated, torch.zeros(50, 1))
    assert (faint > 0.2 * bright / 100).all()


def test_features_are_those_of_the_classifier(model: FastAutoencoder, batch: FastBatch) -> None:
    showers = read_showers(DATA / "zn_geant4_test.h5")[:120]
    judged = shower_features(showers.responses, showers.particles.conditions, ZN)
    scores = FastObjective(FastLossConfig(), model.frame).scores
    found = scores.features(batch.photons, batch.fibres.sum(dim=2)).numpy()
    assert np.allclose(np.expm1(found[:, 0] / 4), judged[:, 0], rtol=1e-3)
    lit = found[:, 5] ** 2 - 1
    assert np.corrcoef(lit, judged[:, FEATURES.index("lit_fibres")])[0, 1] > 0.99
    brightest = found[:, 7:] ** 2 - 0.5
    bright = judged[:, 0] > 100
    assert np.allclose(brightest[bright, 0], judged[bright, FEATURES.index("brightest_1")], atol=0.01)


def test_every_term_is_there_and_every_parameter_has_a_gradient(model: FastAutoencoder, batch: FastBatch) -> None:
    objective = FastObjective(FastLossConfig(), model.frame)
    objective.scores.fit(batch.photons, batch.fibres.sum(dim=2))
    terms = objective(model.train(), batch, torch.Generator().manual_seed(2))
    assert set(terms) == {"gate", "reconstruction", "latent", "channels", "features", "image"}
    terms.total().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_an_empty_response_that_the_gate_explains_weighs_nothing(model: FastAutoencoder, batch: FastBatch) -> None:
    empty = batch.photons.sum(dim=1) == 0
    assert 0 < int(empty.sum()) < len(empty)
    only = FastBatch(*(getattr(batch, field.name)[empty] for field in fields(batch)))
    objective = FastObjective(FastLossConfig(), model.frame)
    model.eval()
    with torch.no_grad():
        model.mean_rate.fill_(-10.0)
        faint = objective(model, only, torch.Generator().manual_seed(2))
        model.mean_rate.fill_(0.0)
        bright = objective(model, only, torch.Generator().manual_seed(2))
    assert float(bright["latent"]) < 1e-3 * float(faint["latent"])
    assert float(bright["gate"]) > float(faint["gate"])
    model.mean_rate.fill_(0.0)
