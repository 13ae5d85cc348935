import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from zdc_metrics.scores.classifier import FEATURES
from zdc_metrics.scores.frechet import MINIMUM, extrapolated, frechet, gaussian_distance
from zdc_metrics.scores.physics import PHYSICS, physics_features
from zdc_metrics.statistics.bootstrap import draw_particles, interval
from zdc_metrics.statistics.splits import floor_ways, model_ways

Features = NDArray[np.float64]


def test_distance_of_gaussians_against_its_formula() -> None:
    rng = np.random.default_rng(1)
    means = rng.normal(size=(2, 3, 4))
    roots = rng.normal(size=(2, 3, 4, 4))
    covariances = roots @ np.swapaxes(roots, -1, -2)
    found = gaussian_distance(means[0], covariances[0], means[1], covariances[1])
    for k in range(3):
        (a, b), (c, d) = means[:, k], covariances[:, k]
        expected = np.sum((a - b) ** 2) + np.trace(c + d - 2 * np.real(sqrtm(c @ d)))
        assert found[k] == pytest.approx(expected)
    assert gaussian_distance(means[0], covariances[0], means[0], covariances[0]) == pytest.approx(0, abs=1e-6)


def pair(particles: int, rng: np.random.Generator, shift: float, scale: float) -> tuple[Features, Features]:
    """Two repeats on each side with a common part for each particle, in eight correlated features."""
    mix = np.random.default_rng(9).normal(size=(8, 8)) / np.sqrt(8)
    own = 0.7 * rng.normal(size=(particles, 1, 8))
    first, second = (own + np.sqrt(1 - 0.49) * rng.normal(size=(particles, 2, 8)) for _ in range(2))
    return first @ mix, (scale * second + shift) @ mix


@pytest.mark.parametrize("particles", [MINIMUM, 250])
@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (0.1, 1.1)])
def test_the_bias_of_finite_samples_is_gone(particles: int, shift: float, scale: float) -> None:
    mix = np.random.default_rng(9).normal(size=(8, 8)) / np.sqrt(8)
    expected = shift**2 * np.sum(mix.sum(axis=0) ** 2) + (scale - 1) ** 2 * np.sum(mix**2)
    rng = np.random.default_rng(2)
    found, plain = [], []
    for _ in range(60):
        first, second = pair(particles, rng, shift, scale)
        deals = rng.permuted(np.tile(np.arange(particles), (5, 1)), axis=1)
        found.append(extrapolated(first, second, deals).mean())
        moments = [(s.mean(axis=(0, 1))[None], np.cov(s.reshape(-1, 8).T)[None]) for s in (first, second)]
        plain.append(gaussian_distance(*moments[0], *moments[1])[0])
    error = np.std(found) / np.sqrt(60)
    assert np.mean(found) == pytest.approx(expected, abs=4 * error)
    assert np.mean(plain) - expected > 6 * error


def test_a_shift_is_outside_the_floor_and_equality_inside() -> None:
    rng = np.random.default_rng(3)
    own = rng.normal(size=(150, 1, 6))
    simulated = own + rng.normal(size=(150, 5, 6))
    ways, floors = model_ways(5, 10, rng, 3), floor_ways(5, rng, 3)
    draws = draw_particles(150, 60, rng)
    spans = []
    for shift in (0.0, 0.4):
        generated = own + rng.normal(size=(150, 10, 6)) + shift
        found = frechet(simulated, generated, draws, ways, floors, rng)
        assert found is not None
        span, floor = interval(found.value, found.values, False), interval(found.floor, found.floors, False)
        assert span is not None
        assert floor is not None
        assert floor[0] < 0 < floor[1]
        assert span[0] < 6 * shift**2 < span[1]
        spans.append(span)
    assert spans[0][1] < spans[1][0]
    few = slice(None, MINIMUM - 1)
    assert frechet(simulated[few], simulated[few], draws, ways, floors, rng) is None


def test_features_are_on_the_scale_of_the_simulated_showers() -> None:
    rng = np.random.default_rng(4)
    table = rng.gamma(2, 5, (30, 5, len(FEATURES))).astype(np.float32)
    empty = table[:3, 0]
    empty[:, [PHYSICS.index("photon_sum"), PHYSICS.index("lit_fibres")]] = 0
    shape = [k for k, name in enumerate(PHYSICS) if name.startswith(("centroid", "width"))]
    empty[:, shape] = np.nan
    real, made = physics_features(table, 2 * table)
    assert real.shape == made.shape == (30, 5, len(PHYSICS))
    assert real.reshape(-1, len(PHYSICS)).mean(axis=0) == pytest.approx(0, abs=1e-6)
    assert real.reshape(-1, len(PHYSICS)).std(axis=0) == pytest.approx(1)
    assert np.isfinite(made).all()
    assert len(np.unique(real[:3, 0][:, shape], axis=0)) == 1
    ratio = PHYSICS.index("sum_over_energy")
    assert real[0, 0, ratio] == pytest.approx(
        (table[0, 0, ratio] - table[..., ratio].mean()) / table[..., ratio].std(), abs=1e-4
    )
    dark = np.full_like(table, np.nan)
    assert all(np.isfinite(side).all() for side in physics_features(dark, dark))
