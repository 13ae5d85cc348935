import numpy as np
import pytest
from numpy.typing import NDArray
from zdc_metrics.scores.classifier import FEATURES
from zdc_metrics.scores.separation import BINS, MINIMUM, QUANTITIES, separation_power, separation_powers
from zdc_metrics.statistics.bootstrap import Resampled, draw_particles
from zdc_metrics.statistics.splits import floor_ways, model_ways

Features = NDArray[np.float32]


def test_limits() -> None:
    a = np.array([3.0, 1, 0, 0])
    assert separation_power(a, 7 * a) == 0
    assert separation_power(a, np.array([0, 0, 2.0, 5])) == pytest.approx(1)
    b = np.array([1.0, 1, 1, 1])
    shares = a / 4, b / 4
    expected = 0.5 * sum((p - q) ** 2 / (p + q) for p, q in zip(*shares, strict=True))
    assert separation_power(a, b) == separation_power(b, a) == pytest.approx(expected)
    assert np.isnan(separation_power(a, 0 * a))


def table(seed: int, repeats: int, light: float = 1.0, empty: float = 0.1) -> Features:
    """Showers without a common part for their particle."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(200, repeats, len(FEATURES)))
    features[..., FEATURES.index("photon_sum")] = rng.poisson(light * rng.gamma(5, 8, (200, repeats)))
    features[rng.random((200, repeats)) < empty] = np.nan
    return darkened(features.astype(np.float32))


def darkened(features: Features) -> Features:
    """Empty responses have counts of zero and neither centroid nor width."""
    counts = [FEATURES.index(name) for name in ("photon_sum", "lit_fibres")]
    features[..., counts] = np.nan_to_num(features[..., counts])
    return features


def powers(generated: Features, simulated: Features) -> dict[str, Resampled]:
    rng = np.random.default_rng(0)
    ways, floors = model_ways(5, generated.shape[1], rng, 10), floor_ways(5, rng, 10)
    return separation_powers(simulated, generated, draw_particles(200, 20, rng), ways, floors)


def test_small_samples_of_one_distribution_are_at_the_floor_of_their_size() -> None:
    found = [powers(table(seed + 10, 20), table(seed, 5)) for seed in range(4)]
    assert list(found[0]) == list(QUANTITIES)
    for name in QUANTITIES:
        # Two samples of 400 showers, a tenth of them empty.
        assert np.mean([powers[name].value for powers in found]) == pytest.approx(BINS / 800, rel=0.3)
        assert np.mean([powers[name].floor for powers in found]) == pytest.approx(BINS / 800, rel=0.3)


def test_what_differs_is_seen_and_nothing_else() -> None:
    generated = table(2, 20, light=1.4)
    generated[..., FEATURES.index("width_y")] *= 3
    found = powers(generated, table(1, 5))
    assert found["photon_sum"].value > 2.5 * found["photon_sum"].floor
    assert found["width"].value > 2.5 * found["width"].floor
    for name in ("centroid", "lit_fibres"):
        assert found[name].value < 1.4 * found[name].floor


def test_empty_responses_count_as_such_and_have_no_shape() -> None:
    found = powers(table(2, 20, empty=0.4), table(1, 5))
    assert found["photon_sum"].value > 2 * found["photon_sum"].floor
    assert found["centroid"].value < 1.8 * found["centroid"].floor  # fewer showers: a higher floor of their own
    dark = darkened(np.full((200, 5, len(FEATURES)), np.nan, dtype=np.float32))
    found = powers(dark, dark)
    assert found["photon_sum"].value == 0
    assert np.isnan(found["width"].value)
    rng = np.random.default_rng(0)
    few = dark[: MINIMUM - 1]
    assert (
        separation_powers(few, few, draw_particles(len(few), 2, rng), model_ways(5, 5, rng), floor_ways(5, rng)) == {}
    )
