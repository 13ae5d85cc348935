"""Unequal numbers of simulations: how many of each particle are kept, which, and the remarks on the others."""

import numpy as np
import pytest
from helpers.files.shower_samples import toy_showers
from zdc_detector.showers import Showers
from zdc_metrics.samples.trimming import even_repeats, simulation_of


def with_repeats(counts: list[int]) -> Showers:
    """Particle i has counts[i] simulations; rows in a mixed order."""
    showers = toy_showers(len(counts), max(counts))
    rank = np.array([np.count_nonzero(showers.particle_id[:i] == showers.particle_id[i]) for i in range(len(showers))])
    return showers[rank < np.array(counts)[showers.particle_id - 1000]]


def test_equal_numbers_are_kept_as_they_are() -> None:
    found, notes = even_repeats(with_repeats([5] * 12), seed=3)
    assert found.responses.shape[:2] == (12, 5)
    assert notes == ()


@pytest.mark.parametrize(
    ("counts", "particles", "repeats"),
    [
        ([1, 2, *range(3, 41)], 34, 7),  # a tenth of the 37 with four or more may go
        ([40] * 19 + [4], 19, 40),
        ([4, 5, 6, 7], 4, 4),
        ([1, 1, 4, 5], 2, 4),
        ([1, 3, 3, 4], 3, 3),
        ([1, 1, 1, 40], 4, 1),
    ],
)
def test_most_particles_are_kept_with_as_many_as_they_all_have(counts: list[int], particles: int, repeats: int) -> None:
    showers = with_repeats(counts)
    found, (note,) = even_repeats(showers, seed=3)
    assert found.responses.shape[:2] == (particles, repeats)
    assert (found.particle_id - 1000).tolist() == [i for i, count in enumerate(counts) if count >= repeats]
    for number, responses in zip(found.particle_id, found.responses, strict=True):
        own = {response.tobytes() for response in showers.responses[showers.particle_id == number]}
        assert {response.tobytes() for response in responses} <= own
    assert f"Particles have {min(counts)} to {max(counts)} simulations each" in note
    assert f"the figures are of the {particles} of {len(counts)} particles with {repeats} or more" in note
    assert (f"the {len(counts) - particles} with fewer are left out" in note) == (particles < len(counts))


def test_the_simulations_are_drawn_by_the_seed() -> None:
    showers = with_repeats([40] * 9 + [10])
    first, again, other = (even_repeats(showers, seed)[0].responses.tobytes() for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ({"title": "geant4 11.2 showers"}, "Geant4"),
        ({"title": "toy showers"}, "simulation"),
        ({}, "simulation"),
        ({"title": "Responses", "model": "zn-fast", "version": 2}, "zn-fast 2"),
    ],
)
def test_a_simulation_is_called_what_its_file_says(attributes: dict[str, object], name: str) -> None:
    assert simulation_of(attributes) == name
