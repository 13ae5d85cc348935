import numpy as np
import pytest
from helpers.calorimeters import ZN
from helpers.files.shower_samples import toy_showers
from zdc_metrics.reports.histograms import Histogram, common_edges, ratio
from zdc_metrics.scores.quantities import Quantity, measure, measure_particles

COUNTS = Quantity("n", "n", "photons", "counts")
LENGTHS = Quantity("x", "x", "cm", "lengths")
ENERGIES = Quantity("e", "e", "GeV", "energies")


def test_every_value_is_counted_once() -> None:
    values = np.array([-1.0, 0.5, 1.5, 1.6, 3.0, 9.0, np.nan])
    one = Histogram.of(values, np.array([0.0, 1.0, 2.0, 3.0]))
    assert one.counts.tolist() == [1, 2, 1]
    assert (one.below, one.above, one.missing, one.total) == (1, 1, 1, 7)
    np.testing.assert_allclose(one.shares, np.array([1, 2, 1]) / 7)
    np.testing.assert_allclose(one.errors, np.sqrt([1, 2, 1]) / 7)


def test_ratios_compare_shares_and_keep_the_errors_apart() -> None:
    edges = np.arange(4.0)
    reference = Histogram(edges, np.array([100, 4, 0]), 0, 0, 0)
    generated = Histogram(edges, np.array([400, 0, 2]), 0, 0, 6)
    found = ratio(reference, generated)
    np.testing.assert_allclose(found.values, [(400 / 408) / (100 / 104), 0, np.nan])
    np.testing.assert_allclose(found.errors, [found.values[0] / 20, (1 / 408) / (4 / 104), np.nan])
    np.testing.assert_allclose(found.band, [0.1, 0.5, np.nan])


def test_what_the_reference_misses_is_no_chance_from_three_entries_on() -> None:
    edges = np.arange(4.0)
    reference = Histogram(edges, np.array([100, 0, 0]), 0, 0, 0)
    found = ratio(reference, Histogram(edges, np.array([940, 30, 29]), 0, 0, 1))
    assert found.values[1:].tolist() == pytest.approx([np.inf, np.nan], nan_ok=True)


def test_counts_have_whole_edges_that_hold_all_but_zero() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.poisson(np.exp(rng.normal(2, 2, (2, 500)))).astype(float)
    edges = common_edges(COUNTS, first, second)
    assert edges is not None
    np.testing.assert_array_equal(edges, np.rint(edges))
    assert (np.diff(edges) > 0).all()
    for values in (first, second):
        one = Histogram.of(values, edges)
        assert one.above == 0
        assert one.below == np.count_nonzero(values == 0)


def test_lengths_have_round_edges_that_leave_out_tails() -> None:
    values = np.random.default_rng(0).normal(0, 0.3, 2000)
    edges = common_edges(LENGTHS, values, values + 0.01)
    assert edges is not None
    step = edges[1] - edges[0]
    assert step == pytest.approx(0.1)
    np.testing.assert_allclose(edges / step, np.rint(edges / step), atol=1e-9)
    one = Histogram.of(values, edges)
    assert 0 < one.below + one.above < 0.02 * len(values)
    assert one.counts[[0, -1]].min() > 0  # no bin for nothing


def test_energies_are_all_inside() -> None:
    values = np.geomspace(10, 2000, 50)
    edges = common_edges(ENERGIES, values, values[:30])
    assert edges is not None
    assert Histogram.of(values, edges).counts.sum() == 50


@pytest.mark.parametrize("quantity", [COUNTS, LENGTHS, ENERGIES])
def test_single_values_and_none_at_all(quantity: Quantity) -> None:
    single = np.array([7.0])
    edges = common_edges(quantity, single, np.full(3, np.nan))
    assert edges is not None
    assert Histogram.of(single, edges).counts.sum() == 1
    assert common_edges(quantity, np.full(3, np.nan), np.zeros(0)) is None


def test_quantities_of_known_responses() -> None:
    showers = toy_showers(5)
    showers.responses[:] = 0
    showers.responses[0, 10, 20] = 6
    showers.responses[0, 12, 20] = 2
    found = {quantity.name: values for quantity, values in measure(showers).items()}
    assert found["photon_sum"].tolist() == [8, 0, 0, 0, 0]
    assert [found[name][0] for name in ZN.channel_names] == [8, 0, 0, 0, 0]
    assert found["lit_fibres"][0] == 2
    assert found["brightest_1"][0] == 6
    x, y = ZN.impact_points(showers.particles.conditions[:1])[0]
    assert found["centroid_x_minus_impact"][0] == pytest.approx((11 - 22) * 0.16 - x, abs=1e-4)
    assert found["centroid_y_minus_impact"][0] == pytest.approx((20.5 - 22) * 0.16 - y, abs=1e-4)
    assert found["width_x"][0] == pytest.approx(0.16 * np.sqrt(0.75), abs=1e-4)
    assert found["width_y"][0] == pytest.approx(0, abs=1e-3)
    assert np.isnan(found["width_x"][1:]).all()


def test_what_went_in_is_measured_from_the_particles() -> None:
    showers = toy_showers(5)
    found = {quantity.name: values for quantity, values in measure_particles(showers).items()}
    np.testing.assert_array_equal(found["energy"], showers.particles.conditions[:, 0])
    np.testing.assert_array_equal(found["impact_x"], ZN.impact_points(showers.particles.conditions)[:, 0])
