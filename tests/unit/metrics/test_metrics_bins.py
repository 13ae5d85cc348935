import numpy as np
import pytest
from helpers.files.shower_samples import face_particles
from numpy.typing import NDArray
from zdc_detector.particles import ENERGY
from zdc_metrics.scores.bins import LIMIT, MINIMUM, Bins, compare_bins
from zdc_metrics.statistics.splits import floor_ways

Sums = NDArray[np.int64]
PARTICLES = face_particles(400, seed=3)
ENERGIES = PARTICLES.conditions[:, ENERGY, None].astype(np.float64)


def draw(
    repeats: int, seed: int, light: float | NDArray[np.float64] = 1.0, spread: float = 0.3, empty: float = 0.1
) -> Sums:
    rng = np.random.default_rng(seed)
    shape = (len(PARTICLES), repeats)
    factor = rng.gamma(1 / spread**2, spread**2, shape) * (rng.random(shape) >= empty)
    sums: Sums = rng.poisson(light * ENERGIES * factor)
    return sums


def compared(simulated: Sums, generated: Sums, seed: int = 0) -> Bins:
    rng = np.random.default_rng(seed)
    return compare_bins(simulated, generated, PARTICLES, floor_ways(simulated.shape[1], rng), 100, rng)


SIMULATED = draw(5, seed=1)


def test_the_right_generator_is_within_two_errors_as_often_as_the_simulation_with_itself() -> None:
    found = [compared(draw(5, seed), draw(20, seed + 100)) for seed in range(8)]
    beyond, expected = sum(b.beyond for b in found), sum(b.floor_beyond or 0 for b in found)
    total = sum(b.compared for b in found)
    assert total == 8 * 3 * len(found[0].bins)
    assert 0.02 < expected / total < 0.12  # 0.05 for Gaussian errors that are known
    assert beyond / total < 0.12
    distances = [getattr(b, name).distance for f in found for b in f.bins for name in ("mean", "spread", "empty")]
    assert np.sqrt(np.mean(np.square(distances))) == pytest.approx(1, abs=0.2)


def test_more_light_is_seen_in_its_bin_alone() -> None:
    rows = (PARTICLES.pdg == 22) & (ENERGIES[:, 0] >= 300) & (ENERGIES[:, 0] < 1000)
    generated = draw(30, seed=2, light=np.where(rows, 1.3, 1.0)[:, None])
    found = {b.name: b for b in compared(SIMULATED, generated).bins}
    bright = found["gamma (22), 300-1000 GeV"]
    assert bright.mean.value == pytest.approx(1.3, abs=4 * (bright.mean.error or 0))
    assert (bright.mean.distance or 0) > 2 * LIMIT
    others = [abs(b.mean.distance or 0) for name, b in found.items() if name != bright.name]
    assert np.mean(np.array(others) > LIMIT) < 0.25


def test_spread_and_empties_are_seen() -> None:
    found = compared(SIMULATED, draw(30, seed=2, spread=0.15, empty=0))
    bins = [b for b in found.bins if b.particles > 40]
    assert len(bins) >= 3
    for b in bins:
        assert (b.spread.distance or 0) < -LIMIT
        assert (b.empty.distance or 0) < -LIMIT
        assert b.empty.value == pytest.approx(-0.1, abs=4 * (b.empty.error or 0))
    assert found.beyond > len(found.bins)


def test_no_empty_response_in_few_does_not_exclude_a_small_share() -> None:
    """Five simulations of each particle cannot exclude that one response in 200 is empty."""
    found = compared(draw(5, seed=1, empty=0), draw(50, seed=2, empty=0.005))
    assert all(abs(b.empty.distance or 0) < LIMIT for b in found.bins)
    alike = compared(draw(5, seed=1, empty=0), draw(50, seed=2, empty=0))
    assert {b.empty.value for b in alike.bins} == {0}
    assert {b.empty.distance for b in alike.bins} == {None}
    assert alike.compared == 2 * len(alike.bins)


def test_small_bins_are_left_out_and_rare_species_have_one() -> None:
    particles = PARTICLES[np.arange(400)]
    particles.pdg[:] = 22
    particles.pdg[:12], particles.pdg[12:21] = 3122, 130
    particles.conditions[:, ENERGY] = 500
    particles.conditions[:12, ENERGY] = np.geomspace(20, 2000, 12)
    particles.conditions[21:26, ENERGY] = 2000
    found = compare_bins(SIMULATED, SIMULATED, particles, [((0, 1), (2, 3))], 20, np.random.default_rng(0))
    assert [(b.name, b.particles) for b in found.bins] == [("gamma (22), 300-1000 GeV", 374), ("Lambda (3122)", 12)]
    assert found.left_out == (("gamma (22), above 1000 GeV", 5), ("K(L)0 (130)", 9))
    assert found.beyond == 0
    text = found.to_markdown()
    assert (
        f"Bins of fewer than {MINIMUM} particles are left out (gamma (22), above 1000 GeV: 5, K(L)0 (130): 9)." in text
    )
    assert "| Lambda (3122) | 12 | 1 ± 0 (–; " in text
    few = compare_bins(SIMULATED[:5], SIMULATED[:5], particles[:5], [((0, 1), (2, 3))], 20, np.random.default_rng(0))
    assert (few.bins, few.compared, few.floor_beyond) == ((), 0, 0)
