"""E^2 = p^2 + m^2, and the tolerance for given numbers."""

import numpy as np
import pytest
from zdc_detector.mass_shell import energies_agree, masses_agree, total_energy
from zdc_detector.particles import ENERGY, MASS, PX, PZ, Particles


def test_energy_of_a_3_4_5_triangle() -> None:
    momentum = np.array([[0.0, 0.0, 4.0], [0.0, 3.0, 4.0], [1.0, 2.0, 2.0]])
    assert total_energy(momentum, np.array([3000.0, 0.0, 4000.0])).tolist() == [5, 5, 5]


def test_compiled_and_plain_energies_are_the_same_numbers() -> None:
    rng = np.random.default_rng(3)
    px, py, pz = rng.normal(0, 1, (3, 1000))
    columns = {"pdg": rng.choice([22, 2112, 130, 3122], 1000), "px": px, "py": py, "pz": pz}
    conditions = Particles.from_columns(columns).conditions
    plain = Particles.from_columns({**columns, "energy": conditions[:, ENERGY]}).conditions
    np.testing.assert_array_equal(conditions, plain)
    np.testing.assert_allclose(
        conditions[:, ENERGY],
        total_energy(conditions[:, PX : PZ + 1].astype(np.float64), conditions[:, MASS].astype(np.float64)),
        rtol=2**-22,  # both are rounded to float32, and so is the mass
    )


@pytest.mark.parametrize(
    ("given", "mass", "agree"),
    [(940.0, 939.565, True), (0.939565, 939.565, False), (1e-4, 0.0, True), (2e-3, 0.0, False), (np.nan, 1.0, False)],
)
def test_masses_agree_within_two_per_cent_and_rounding(given: float, mass: float, agree: bool) -> None:
    assert masses_agree(np.array([given]), np.array([mass])).tolist() == [agree]


def test_energies_agree_within_one_per_cent() -> None:
    given = np.array([100.9, 101.1, 99.1, 98.9, np.nan])
    assert energies_agree(given, np.full(5, 100.0)).tolist() == [True, False, True, False, False]
