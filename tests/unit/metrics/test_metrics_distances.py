"""The definitions, compared with plain loops."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance
from zdc_metrics import channel_wasserstein, dispersion, empty_share, fair_crps, mean_absolute_error
from zdc_metrics.scores import figures
from zdc_metrics.statistics.bootstrap import draw_particles
from zdc_metrics.statistics.distances import cross_distance, crps_floor, photon_sum_variance, self_distance
from zdc_metrics.statistics.splits import floor_ways, model_ways

Sums = NDArray[np.int64]
RNG = np.random.default_rng(1)
SIMULATED: Sums = RNG.poisson(RNG.gamma(2, 20, (9, 1, 3)), (9, 5, 3))
GENERATED: Sums = RNG.poisson(RNG.gamma(2, 20, (9, 1, 3)), (9, 4, 3))


def test_channel_wasserstein_is_the_mean_over_channels() -> None:
    a, b = SIMULATED.reshape(-1, 3), GENERATED.reshape(-1, 3)
    expected = np.mean([wasserstein_distance(a[:, k], b[:, k]) for k in range(3)])
    assert channel_wasserstein(a, b) == pytest.approx(expected)
    assert channel_wasserstein(a, a + 7) == pytest.approx(7)


def test_mae_is_the_mean_over_all_pairs_of_one_particle() -> None:
    differences = [
        sum(abs(int(s) - int(g)) for s, g in zip(one, other, strict=True)) / 3
        for particle in range(9)
        for one in SIMULATED[particle]
        for other in GENERATED[particle]
    ]
    assert mean_absolute_error(SIMULATED, GENERATED) == pytest.approx(np.mean(differences))


def test_mae_over_all_pairs_is_its_mean_over_two_against_two() -> None:
    two_by_two = [
        np.abs(SIMULATED[:, list(a)][:, :, None] - GENERATED[:, list(b)][:, None]).mean()
        for a, b in model_ways(5, 4, np.random.default_rng(0))
    ]
    assert mean_absolute_error(SIMULATED, GENERATED) == pytest.approx(np.mean(two_by_two))


def naive_crps(truth: NDArray[np.int64], ensemble: NDArray[np.int64]) -> float:
    m = len(ensemble)
    spread = sum(abs(a - b) for a, b in itertools.permutations(ensemble.astype(float), 2)) / (m * (m - 1))
    return float(np.mean(np.abs(ensemble.astype(float) - truth)) - 0.5 * spread)


def test_fair_crps_against_its_formula() -> None:
    expected = [
        np.mean([naive_crps(SIMULATED[p, r, k], GENERATED[p, :, k]) for r in range(5) for k in range(3)])
        for p in range(9)
    ]
    np.testing.assert_allclose(fair_crps(SIMULATED, GENERATED), np.array(expected))


def test_crps_floor_takes_one_simulation_as_truth_and_the_others_as_ensemble() -> None:
    expected = [
        np.mean([naive_crps(SIMULATED[p, r, k], np.delete(SIMULATED[p, :, k], r)) for r in range(5) for k in range(3)])
        for p in range(9)
    ]
    np.testing.assert_allclose(crps_floor(SIMULATED), np.array(expected))


@pytest.mark.parametrize("figure", ["crps", "mae", "variance", "empty"])
def test_figures_do_not_depend_on_the_number_of_generated_repeats(figure: str) -> None:
    """More generated repeats reduce the noise but keep the expectation: the difference to two repeats is noise."""
    rng = np.random.default_rng(2)
    truth, ensemble = rng.poisson(3, (4000, 2, 1)), rng.poisson(2.5, (4000, 60, 1))
    measures: dict[str, Callable[[Sums], NDArray[np.float64]]] = {
        "crps": lambda made: fair_crps(truth, made),
        "mae": lambda made: cross_distance(truth, made),
        "variance": lambda made: photon_sum_variance(made[..., 0]),
        "empty": lambda made: (made[..., 0] == 0).mean(axis=1),
    }
    few, many = (measures[figure](made) for made in (ensemble[:, :2], ensemble))
    assert few.mean() == pytest.approx(many.mean(), abs=4 * (few - many).std() / np.sqrt(4000))
    assert many.std() < few.std()


def test_distances_in_order_are_those_over_all_pairs() -> None:
    pairs = np.abs(GENERATED[:, :, None] - GENERATED[:, None]).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(self_distance(GENERATED), pairs * 4 / 3)


def test_crps_is_smallest_for_the_right_generator_and_mae_for_the_median() -> None:
    rng = np.random.default_rng(3)
    truth, right = rng.poisson(30, (3000, 2, 1)), rng.poisson(30, (3000, 5, 1))
    median = np.full((3000, 5, 1), 30)
    assert fair_crps(truth, right).mean() < 0.9 * fair_crps(truth, median).mean()
    assert fair_crps(truth, right).mean() < 0.9 * fair_crps(truth, rng.poisson(36, (3000, 5, 1))).mean()
    assert mean_absolute_error(truth, median) < 0.9 * mean_absolute_error(truth, right)


def test_dispersion_compares_spread_over_repeats_of_bright_particles() -> None:
    simulated = np.array([[10, 20, 30], [100, 110, 120], [1, 0, 2]])
    generated = np.array([[20, 40, 60], [95, 115, 135], [50, 0, 90]])
    # Unbiased variances: 100 and 100 simulated, 400 and 400 generated; the third particle's mean sum is below 5.
    assert dispersion(simulated, generated) == pytest.approx(2)
    assert np.isnan(dispersion(simulated[2:], generated[2:]))


def test_empty_share() -> None:
    assert empty_share(np.array([[0, 3], [0, 0]])) == 0.75


@pytest.mark.parametrize(("repeats", "ways"), [(4, 3), (5, 15), (6, 45)])
def test_all_splits_of_two_against_two_others(repeats: int, ways: int) -> None:
    found = floor_ways(repeats, np.random.default_rng(0))
    assert len({frozenset(way) for way in found}) == ways
    assert all(len({*a, *b}) == 4 for a, b in found)


def test_many_repeats_are_drawn() -> None:
    found = floor_ways(40, np.random.default_rng(0))
    assert len(found) == 100
    assert all(len({*a, *b}) == 4 for a, b in found)
    assert len(model_ways(40, 40, np.random.default_rng(0))) == 100
    assert len(model_ways(5, 5, np.random.default_rng(0))) == 100
    drawn = model_ways(5, 50, np.random.default_rng(0))
    assert len(set(drawn)) == 100
    assert {len(set(side)) for way in drawn for side in way} == {2}
    assert max(max(b) for _, b in drawn) > 40


def test_wasserstein_figure_is_the_mean_over_the_ways_by_scipy() -> None:
    rng = np.random.default_rng(0)
    ways, floors = model_ways(5, 4, rng), floor_ways(5, rng)
    found = figures.wasserstein(SIMULATED, GENERATED, draw_particles(9, 3, rng), ways, floors)

    def pooled(sums: Sums, repeats: tuple[int, ...], rows: NDArray[np.intp]) -> Sums:
        return sums[rows][:, list(repeats)].reshape(-1, 3)

    def both(rows: NDArray[np.intp]) -> tuple[float, float]:
        model = [channel_wasserstein(pooled(SIMULATED, a, rows), pooled(GENERATED, b, rows)) for a, b in ways]
        floor = [channel_wasserstein(pooled(SIMULATED, a, rows), pooled(SIMULATED, b, rows)) for a, b in floors]
        return float(np.mean(model)), float(np.mean(floor))

    assert (found.value, found.floor) == pytest.approx(both(np.arange(9)))
    rng = np.random.default_rng(0)
    assert (model_ways(5, 4, rng), floor_ways(5, rng)) == (ways, floors)
    for k, rows in enumerate(draw_particles(9, 3, rng)):
        assert (found.values[k], found.floors[k]) == pytest.approx(both(rows))


def test_mean_figures_resample_particles_jointly() -> None:
    draws = draw_particles(9, 4, np.random.default_rng(4))
    mae, crps = figures.mae(SIMULATED, GENERATED, draws), figures.crps(SIMULATED, GENERATED, draws)
    assert mae.value == pytest.approx(mean_absolute_error(SIMULATED, GENERATED))
    assert mae.floor == pytest.approx(self_distance(SIMULATED).mean())
    for k, rows in enumerate(draws):
        assert mae.values[k] == pytest.approx(mean_absolute_error(SIMULATED[rows], GENERATED[rows]))
        assert crps.values[k] == pytest.approx(fair_crps(SIMULATED[rows], GENERATED[rows]).mean())
        assert crps.floors[k] == pytest.approx(crps_floor(SIMULATED[rows]).mean())


def test_spread_figure_is_the_dispersion() -> None:
    simulated, generated = SIMULATED.sum(axis=2), GENERATED.sum(axis=2)
    simulated[0] = generated[0] = 1
    draws = draw_particles(9, 4, np.random.default_rng(5))
    found = figures.spread(simulated, generated, draws, floor_ways(5, np.random.default_rng(0)))
    assert found.value == pytest.approx(dispersion(simulated, generated))
    for k, rows in enumerate(draws):
        assert found.values[k] == pytest.approx(dispersion(simulated[rows], generated[rows]))
