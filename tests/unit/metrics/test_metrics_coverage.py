import numpy as np
import pytest
from numpy.typing import NDArray
from zdc_metrics.scores.coverage import MINIMUM, NAMES, NEIGHBOURS, coverage, shares
from zdc_metrics.statistics.bootstrap import Resampled, draw_particles
from zdc_metrics.statistics.splits import floor_ways, model_ways

Features = NDArray[np.float64]


def test_shares_against_loops_that_do_what_the_words_say() -> None:
    rng = np.random.default_rng(1)
    real, made = rng.normal(size=(8, 2, 3)), 1.5 * rng.normal(size=(8, 2, 3))
    rows, others = real.reshape(16, 3), made.reshape(16, 3)

    def radius(sample: Features, k: int) -> float:
        return float(np.sort(np.linalg.norm(sample - sample[k], axis=1))[NEIGHBOURS])

    def within(point: Features, sample: Features) -> list[bool]:
        return [bool(np.linalg.norm(point - sample[k]) <= radius(sample, k)) for k in range(16)]

    expected = [
        [any(within(x, rows)) for x in others],
        [any(within(x, others)) for x in rows],
        [sum(within(x, rows)) / NEIGHBOURS for x in others],
        [any(np.linalg.norm(others - rows[k], axis=1) <= radius(rows, k)) for k in range(16)],
    ]
    np.testing.assert_allclose(shares(real, made), np.array(expected, dtype=float).reshape(4, 8, 2).mean(axis=2))


def figures(generated: Features, simulated: Features) -> dict[str, Resampled]:
    rng = np.random.default_rng(0)
    ways = model_ways(simulated.shape[1], generated.shape[1], rng, 4), floor_ways(simulated.shape[1], rng, 4)
    return coverage(simulated, generated, draw_particles(len(simulated), 20, rng), *ways)


def two_modes(repeats: int, seed: int) -> Features:
    """Showers in one of two distant modes, at random."""
    rng = np.random.default_rng(seed)
    mode = 20.0 * rng.integers(0, 2, (150, repeats, 1))
    return np.asarray(rng.normal(size=(150, repeats, 4)) + mode)


def test_the_right_generator_is_at_the_floor() -> None:
    found = figures(two_modes(10, 2), two_modes(5, 1))
    assert list(found) == list(NAMES)
    for name in NAMES:
        assert found[name].value == pytest.approx(found[name].floor, abs=0.05)
    assert found["coverage"].value > 0.9
    assert found["density"].value == pytest.approx(1, abs=0.1)


def test_a_dropped_mode_costs_recall_and_coverage_and_no_precision() -> None:
    generated = two_modes(10, 2)
    generated[generated[..., 0] > 10] -= 20
    found = figures(generated, two_modes(5, 1))
    assert found["precision"].value > 0.9
    assert found["recall"].value == pytest.approx(0.5, abs=0.1)
    assert found["coverage"].value == pytest.approx(0.5, abs=0.1)
    assert found["recall"].values.max() < 0.8 * found["recall"].floor


def test_showers_that_the_simulation_never_gives_cost_precision_and_density() -> None:
    generated = two_modes(10, 2)
    generated[::2] += 100
    found = figures(generated, two_modes(5, 1))
    assert found["precision"].value == pytest.approx(0.5, abs=0.05)
    assert found["density"].value < 0.6 * found["density"].floor
    assert found["recall"].value > 0.85


def test_few_particles_say_nothing() -> None:
    sample = np.random.default_rng(1).normal(size=(MINIMUM - 1, 5, 3))
    assert figures(sample, sample) == {}
