"""The Geant4 examples in the package: which one is nearest, and that its turned image belongs to it."""

import math
from pathlib import Path

import numpy as np
import pytest
from helpers.models.tiny_model import STRIPS
from numpy.typing import NDArray
from zdc_detector.packed_showers import read_packed
from zdc_detector.particles import ENERGY, VZ
from zdc_detector.showers import Showers, read_showers
from zdc_service.serving.examples import EXAMPLES_FILE, Examples, distance, shipped_examples

DATA = Path(__file__).parents[4] / "training" / "data" / "zn_geant4_test.h5"

#: The symmetries of a square face as matrices, under the names of training/data/README.md.
TURNS = {
    "none": ((1, 0), (0, 1)),
    "mirror x": ((-1, 0), (0, 1)),
    "mirror y": ((1, 0), (0, -1)),
    "half turn": ((-1, 0), (0, -1)),
    "transpose": ((0, 1), (1, 0)),
    "transpose, mirror x": ((0, -1), (1, 0)),
    "transpose, mirror y": ((0, 1), (-1, 0)),
    "transpose, half turn": ((0, -1), (-1, 0)),
}


@pytest.fixture(scope="module")
def showers() -> Showers:
    return read_showers(DATA)


def wanted_particles(number: int) -> list[tuple[int, float, tuple[float, float]]]:
    rng = np.random.default_rng(5)
    species = rng.choice([22, 2112, 130, 3122, 310, -2112], number)
    energies = np.exp(rng.uniform(np.log(20), np.log(2500), number))
    points = rng.uniform(-3.5, 3.5, (number, 2))
    return [
        (int(pdg), float(energy), (float(x), float(y)))
        for pdg, energy, (x, y) in zip(species, energies, points, strict=True)
    ]


def test_the_file_holds_the_test_set_and_is_small(showers: Showers) -> None:
    shipped = read_packed(EXAMPLES_FILE)
    assert shipped.calorimeter == showers.calorimeter
    np.testing.assert_array_equal(shipped.particles.pdg, showers.particles.pdg)
    np.testing.assert_array_equal(shipped.particles.conditions, showers.particles.conditions)
    np.testing.assert_array_equal(shipped.particle_id, showers.particle_id)
    np.testing.assert_array_equal(shipped.responses, showers.responses)
    assert EXAMPLES_FILE.stat().st_size < 200_000


@pytest.mark.parametrize(("pdg", "energy", "point"), wanted_particles(60))
def test_no_other_particle_is_nearer(showers: Showers, pdg: int, energy: float, point: tuple[float, float]) -> None:
    found = shipped_examples().nearest(pdg, energy, point)
    assert found is not None
    conditions = showers.particles.conditions.astype(np.float64)
    points = showers.calorimeter.impact_points(showers.particles.conditions)
    away = {}
    for row in np.nonzero(showers.particles.pdg == pdg)[0].tolist():
        for name, matrix in TURNS.items():
            x, y = np.array(matrix) @ points[row]
            in_energy = math.log(conditions[row, ENERGY] / energy) / math.log(1.25)
            away[row, name] = math.sqrt(in_energy**2 + (x - point[0]) ** 2 + (y - point[1]) ** 2)
    least = min(away.values())
    row = int(np.nonzero(showers.particle_id == np.unique(showers.particle_id)[found.index])[0][0])
    assert away[row, found.turn] == pytest.approx(least)
    assert distance(found.energy_ratio, found.distance_cm) == pytest.approx(least)
    assert found.near == (least <= 1)
    assert (found.energy, found.vz) == pytest.approx(tuple(conditions[row, [ENERGY, VZ]]))
    assert found.energy_ratio == pytest.approx(found.energy / energy)
    assert found.point == pytest.approx(tuple(np.array(TURNS[found.turn]) @ points[row]))
    assert found.distance_cm == pytest.approx(math.dist(found.point, point))
    np.testing.assert_array_equal(found.responses, turned(showers, row, found.turn))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_point_off_the_face_has_no_neighbour_however_close(sign: int) -> None:
    examples = shipped_examples()
    half = examples.calorimeter.half_width[0]
    outermost = int(np.argmax(np.abs(examples.points[:, 0])))
    pdg, energy = int(examples.particles.pdg[outermost]), float(examples.particles.conditions[outermost, ENERGY])
    y = float(examples.points[outermost, 1])
    for x, on_face in ((half - 1e-6, True), (half, False), (half + 1e-3, False), (50.0, False)):
        found = examples.nearest(pdg, energy, (sign * x, y))
        assert found is not None
        assert found.on_face is on_face
        assert found.near is on_face
        assert distance(found.energy_ratio, found.distance_cm) <= 1 or x == 50


def turned(showers: Showers, row: int, turn: str) -> NDArray[np.uint16]:
    """All responses of the particle of a row, each fibre moved to the new position of its centre."""
    images: NDArray[np.uint16] = showers.responses[showers.particle_id == showers.particle_id[row]]
    size, half = images.shape[1], (images.shape[1] - 1) / 2
    out: NDArray[np.uint16] = np.zeros_like(images)
    for i in range(size):
        for j in range(size):
            x, y = np.array(TURNS[turn]) @ (i - half, j - half)
            out[:, round(x + half), round(y + half)] = images[:, i, j]
    return out


def test_each_particle_is_its_own_nearest_unturned() -> None:
    examples = shipped_examples()
    for index in range(0, len(examples.particles), 7):
        energy = float(examples.particles.conditions[index, ENERGY])
        point = (float(examples.points[index, 0]), float(examples.points[index, 1]))
        found = examples.nearest(int(examples.particles.pdg[index]), energy, point)
        assert found is not None
        assert (found.index, found.turn, found.energy_ratio, found.distance_cm) == (index, "none", 1, 0)


def test_turned_light_is_at_the_turned_point() -> None:
    examples = shipped_examples()
    centres = (np.arange(44) + 0.5) * 0.16 - 3.52
    for point in [(-2.0, -2.5), (2.5, -2.0), (-2.5, 2.0), (2.0, 2.5)]:
        found = examples.nearest(2112, 1500.0, point)
        assert found is not None
        light = found.responses.sum(axis=0)
        middle = (light.sum(axis=1) @ centres / light.sum(), light.sum(axis=0) @ centres / light.sum())
        assert math.dist(middle, found.point) < 0.7


def test_a_species_without_examples_has_none() -> None:
    assert shipped_examples().nearest(13, 100.0, (0.0, 0.0)) is None


@pytest.mark.parametrize(("ratio", "cm", "near"), [(1.24, 0.0, True), (1 / 1.26, 0.0, False), (1.0, 1.01, False),
                                                   (1.0, 0.99, True), (1.2, 0.8, False)])  # fmt: skip
def test_definition_of_near(ratio: float, cm: float, near: bool) -> None:
    assert (distance(ratio, cm) <= 1) is near


def test_only_mirrors_for_faces_that_are_not_square(showers: Showers) -> None:
    few = showers[np.arange(10)]
    images = np.zeros((10, *STRIPS.shape), dtype=np.uint16)
    examples = Examples(Showers(few.particles, images, few.particle_id, STRIPS))
    pdg = int(few.particles.pdg[0])
    turns = {
        found.turn
        for x, y in np.random.default_rng(1).uniform(-3, 3, (60, 2))
        if (found := examples.nearest(pdg, 100.0, (x, y)))
    }
    assert turns == {"none", "mirror x", "mirror y", "half turn"}
