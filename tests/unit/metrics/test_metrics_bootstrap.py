import numpy as np
import pytest
from numpy.typing import NDArray
from zdc_metrics.scores import figures
from zdc_metrics.scores.report import Figure
from zdc_metrics.statistics.bootstrap import draw_particles, interval
from zdc_metrics.statistics.splits import floor_ways, model_ways


def test_percentiles() -> None:
    resampled = np.arange(101.0)
    assert interval(50, resampled, recentre=False) == pytest.approx((5, 95))
    assert interval(25, resampled, recentre=True) == pytest.approx((2.5, 47.5))


def test_undefined_figures_have_no_interval() -> None:
    assert interval(np.nan, np.arange(10.0), recentre=False) is None
    assert interval(1, np.full(10, np.nan), recentre=False) is None
    assert interval(1, np.array([]), recentre=True) is None
    mostly = np.where(np.arange(100) < 10, np.nan, 3.0)
    assert interval(3, mostly, recentre=False) == (3, 3)


def test_draws_are_seeded() -> None:
    draws = [draw_particles(20, 5, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert draws[0].tolist() == draws[1].tolist() != draws[2].tolist()
    assert draws[0].shape == (5, 20)


def sample(
    particles: int, rng: np.random.Generator, light: float, likeness: float = 4
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    mean = rng.gamma(likeness, 80 / likeness, (particles, 1, 1))
    simulated = rng.poisson(rng.gamma(9, mean / 9, (particles, 5, 1)))
    return simulated, rng.poisson(light * rng.gamma(9, mean / 9, (particles, 5, 1)))


@pytest.mark.parametrize("light", [1.0, 1.2])
def test_wasserstein_intervals_cover_the_expected_figure(light: float) -> None:
    """Of 60 intervals at 90 %, 42 or fewer cover the value with a probability of 1/50,000."""
    rng = np.random.default_rng(7)
    ways, floors = model_ways(5, 5, rng, 20), floor_ways(5, rng)
    found = []
    for _ in range(60):
        simulated, generated = sample(100, rng, light)
        resampled = figures.wasserstein(simulated, generated, draw_particles(100, 60, rng), ways, floors)
        found.append(Figure.from_resampled("wasserstein", resampled))
    for value, span in (("value", "interval"), ("floor", "floor_interval")):
        expected = np.mean([getattr(figure, value) for figure in found])
        covered = [getattr(figure, span)[0] <= expected <= getattr(figure, span)[1] for figure in found]
        assert sum(covered) > 42


def test_the_ratio_is_resampled_jointly() -> None:
    """Particles differ much more than generator and floor, so the ratio has the narrower interval."""
    rng = np.random.default_rng(8)
    simulated, generated = sample(200, rng, 1.3, likeness=0.5)
    figure = Figure.from_resampled("mae", figures.mae(simulated, generated, draw_particles(200, 200, rng)))
    assert figure.value is not None
    assert figure.ratio is not None
    assert figure.interval is not None
    assert figure.ratio_interval is not None
    assert figure.ratio_interval[0] < figure.ratio < figure.ratio_interval[1]
    relative = [(span[1] - span[0]) / value for span, value in (
        (figure.interval, figure.value), (figure.ratio_interval, figure.ratio)
    )]  # fmt: skip
    assert relative[1] < 0.8 * relative[0]
