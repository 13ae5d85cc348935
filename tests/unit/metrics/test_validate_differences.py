import numpy as np
import pytest
from helpers.files.shower_samples import toy_showers
from numpy.typing import NDArray
from zdc_metrics.reports.validation import difference_error, is_beyond_chance
from zdc_metrics.samples.copies import count_copies
from zdc_metrics.scores.report import Figure

Values = NDArray[np.float64]
Ids = NDArray[np.int64]


def clustered(particles: int, repeats: int, rng: np.random.Generator, of: Values) -> tuple[Values, Ids]:
    """Values with a common part for each particle."""
    ids = np.repeat(np.arange(particles, dtype=np.int64), repeats)
    return of[ids] + rng.normal(0, 1, len(ids)), ids


def test_the_error_is_the_scatter_of_many_differences() -> None:
    rng = np.random.default_rng(0)
    found, errors = [], []
    for _ in range(300):
        first, first_id = clustered(40, 5, rng, of=rng.normal(0, 10, 40))
        second, second_id = clustered(60, 8, rng, of=rng.normal(0, 10, 60))
        found.append(second.mean() - first.mean())
        errors.append(difference_error(first, second, first_id, second_id + np.int64(40)))  # other particles
    assert np.std(found) == pytest.approx(10 * np.sqrt(1 / 40 + 1 / 60), rel=0.15)
    assert np.mean(np.array(errors, dtype=float)) == pytest.approx(np.std(found), rel=0.1)


def test_what_both_owe_to_the_particles_cancels() -> None:
    rng = np.random.default_rng(0)
    found, errors = [], []
    for _ in range(300):
        own = rng.normal(0, 10, 40)
        (first, first_id), (second, second_id) = (clustered(40, n, rng, of=own) for n in (5, 20))
        found.append(second.mean() - first.mean())
        errors.append(difference_error(first, second, first_id, second_id))
    assert np.std(found) == pytest.approx(np.sqrt(1 / 200 + 1 / 800), rel=0.15)
    assert np.mean(np.array(errors, dtype=float)) == pytest.approx(np.std(found), rel=0.1)


def test_one_particle_says_nothing_of_others() -> None:
    ids = np.zeros(5, dtype=np.int64)
    assert difference_error(np.arange(5.0), np.arange(5.0), ids, ids) is None
    assert difference_error(np.arange(5.0), np.zeros(0), np.arange(5, dtype=np.int64), ids[:0]) is None


NONE: dict[str, None] = dict.fromkeys(("interval", "floor_interval", "ratio", "ratio_interval"))


@pytest.mark.parametrize(
    ("figure", "beyond"),
    [
        (Figure(**NONE | {"value": 2.0, "floor": 1.8, "ratio": 1.1, "ratio_interval": (0.9, 1.3)}), False),
        (Figure(**NONE | {"value": 2.0, "floor": 1.8, "ratio": 1.1, "ratio_interval": (1.01, 1.3)}), True),
        (Figure(**NONE | {"value": 0.9, "floor": 1.0, "if_right": (0.87, 1.18)}), False),
        (Figure(**NONE | {"value": 1.2, "floor": 1.0, "if_right": (0.87, 1.18)}), True),
        (Figure(**NONE | {"value": 0.6, "floor": 0.5, "interval": (0.5, 0.7), "floor_interval": (0.4, 0.55)}), False),
        (Figure(**NONE | {"value": 0.6, "floor": 0.5, "interval": (0.56, 0.7), "floor_interval": (0.4, 0.55)}), True),
        (Figure(**NONE | {"value": None, "floor": None}), False),
    ],
)
def test_what_the_simulation_itself_would_not_get(figure: Figure, beyond: bool) -> None:
    assert is_beyond_chance(figure) == beyond


def test_copies_are_counted_and_what_is_nearly_dark_is_not() -> None:
    reference = toy_showers(8, seed=1).responses
    lit = np.count_nonzero(reference, axis=(1, 2))
    generated = toy_showers(8, seed=2).responses
    generated[:3] = reference[np.argsort(lit)[-3:]]
    generated[3:5] = 0
    dark = np.zeros((1, 44, 44), dtype=np.uint16)
    dark[0, 0, :19] = 1
    assert count_copies(np.concatenate([reference, dark]), np.concatenate([generated, dark])) == 3
