"""Cherenkov light: the table against a simulation of single rays, and the rules at small angles."""

import numpy as np
import pytest
from numpy.typing import NDArray
from zdc_training.simulator.light import FRANK_TAMM, FibreLight, LightTable
from zdc_training.simulator.set_up import Light, read_set_up

PLAIN = Light(
    refractive_index=1.458, numerical_aperture=0.22, energy_window=2.0, minimum_angle=0.0, skew_angle=0.0, scale=1.0
)


def step(angle: float, beta: float = 1.0, length: float = 1.0, x: float = 0.0, y: float = 0.0) -> NDArray[np.float64]:
    """One step at an angle to the fibre [degrees]."""
    return np.array([[x, y, 0.0, np.cos(np.radians(angle)), beta, length]])


def simulated(angle: float, beta: float, rays: int = 400_000) -> float:
    """Photons per mm from rays that are followed one by one: start, direction, invariant of a step-index fibre."""
    rng = np.random.default_rng(7)
    n, aperture = PLAIN.refractive_index, PLAIN.numerical_aperture
    radius, place, azimuth = np.sqrt(rng.random(rays)), *(2 * np.pi * rng.random((2, rays)))
    cosine = 1 / (n * beta)
    sine = np.sqrt(1 - cosine**2)
    track = np.array([np.sin(np.radians(angle)), 0, np.cos(np.radians(angle))])
    beside, across = np.array([track[2], 0, -track[0]]), np.array([0, 1, 0])
    ray = cosine * track[:, None] + sine * (np.cos(azimuth) * beside[:, None] + np.sin(azimuth) * across[:, None])
    start = radius * np.array([np.cos(place), np.sin(place)])
    # Angle of the ray to the normal at the wall: (distance of its chord from the axis) sets the azimuthal part.
    flat = np.hypot(ray[0], ray[1])
    distance = np.abs(start[0] * ray[1] - start[1] * ray[0]) / np.maximum(flat, 1e-12)
    guided = (ray[2] > 0) & (flat * np.sqrt(1 - distance**2) <= aperture / n)
    return float(FRANK_TAMM * 0.1 * PLAIN.energy_window * sine**2 * guided.mean())


@pytest.mark.parametrize(("angle", "beta"), [(20, 1.0), (36, 1.0), (44, 1.0), (47, 1.0), (44, 0.9), (60, 1.0)])
def test_table_agrees_with_rays(angle: float, beta: float) -> None:
    # 400,000 rays, of which 0.2 to 10 % are guided: 4 % is three standard deviations of the rarest.
    assert LightTable(PLAIN).photons(step(angle, beta))[0] == pytest.approx(simulated(angle, beta), rel=0.04, abs=1e-3)


def test_light_is_proportional_to_length_and_scale() -> None:
    one = LightTable(PLAIN).photons(step(44))
    assert LightTable(PLAIN).photons(step(44, length=2.5)) == pytest.approx(2.5 * one)
    dimmed = PLAIN.model_copy(update={"scale": 0.1})
    assert LightTable(dimmed).photons(step(44)) == pytest.approx(0.1 * one)


def test_slow_and_backward_tracks_are_dark() -> None:
    table = LightTable(PLAIN)
    assert table.photons(step(44, beta=0.68))[0] == 0  # below 1 / n = 0.686
    assert table.photons(step(44, beta=0.70))[0] > 0
    assert table.photons(step(170))[0] == 0


def test_rules_at_small_angles() -> None:
    plain = LightTable(PLAIN)
    ruled = LightTable(PLAIN.model_copy(update={"minimum_angle": 3.0, "skew_angle": 20.0}))
    assert ruled.photons(step(2.9))[0] == 0
    assert plain.photons(step(2.9))[0] > 0
    for angle in (5.0, 12.0):
        expected = plain.photons(step(angle)) * np.sin(np.radians(angle)) / np.sin(np.radians(20))
        assert ruled.photons(step(angle)) == pytest.approx(expected)
    assert ruled.photons(step(30)) == pytest.approx(plain.photons(step(30)))


def test_light_goes_to_the_fibre_of_the_step() -> None:
    set_up = read_set_up("zp")
    light = FibreLight(set_up)
    # Fibre [3, 29]: 4 mm cells from x = -112 mm and y = -60 mm.
    rates = light.rates(step(44, x=-112 + 3.5 * 4, y=60 - 0.5 * 4)).reshape(set_up.calorimeter.shape)
    assert rates.sum() == rates[3, 29] > 0
    assert not light.rates(np.empty((0, 6))).any()
