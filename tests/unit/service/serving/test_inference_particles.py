"""Particles from nine conditions: the species by mass and charge, and the checks of every other protocol."""

from pathlib import Path

import numpy as np
import pytest
from helpers.models.tiny_model import TinyModel, some_particles, write_model
from zdc_common.errors import InvalidInputError, OutOfRangeError
from zdc_detector.card import ModelCard
from zdc_detector.particles import CHARGE, ENERGY, MASS, PZ, Particles
from zdc_detector.pdg_table import mass_and_charge
from zdc_service.serving.inference.particles import read_particles, species_of

ALIKE = TinyModel(
    name="alike",
    species=(
        (310, "K(S)0", 50.0, 2000.0),
        (130, "K(L)0", 50.0, 2000.0),
        (-2112, "anti-n", 50.0, 2600.0),
        (2112, "n", 50.0, 2600.0),
        (2212, "p", 50.0, 2600.0),
        (-2212, "anti-p", 50.0, 2600.0),
        (22, "gamma", 10.0, 1500.0),
        (12, "nu(e)", 10.0, 1500.0),
        (3122, "Lambda", 50.0, 2600.0),
        (3212, "Sigma0", 50.0, 2600.0),
    ),
)
#: What mass and charge alone lead to: the first of those that share them.
FOUND = {
    310: 310,
    130: 310,
    2112: -2112,
    -2112: -2112,
    2212: 2212,
    -2212: -2212,
    22: 22,
    12: 22,
    3122: 3122,
    3212: 3212,
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ModelCard:
    return ModelCard.read(write_model(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory) -> ModelCard:
    return ModelCard.read(write_model(tmp_path_factory.mktemp("alike"), ALIKE))


def rows(codes: list[int]) -> np.ndarray:
    conditions = np.zeros((len(codes), 9), dtype=np.float32)
    conditions[:, [MASS, CHARGE]] = [mass_and_charge(code) for code in codes]
    return conditions


def test_species_are_found_by_mass_and_charge(alike: ModelCard) -> None:
    codes = list(FOUND)
    assert species_of(alike, rows(codes)).tolist() == list(FOUND.values())


def test_masses_may_be_rounded(alike: ModelCard) -> None:
    conditions = rows([2112, 3122, 22])
    conditions[:, MASS] = [940, 1115, 1e-4]
    assert species_of(alike, conditions).tolist() == [-2112, 3122, 22]


@pytest.mark.parametrize(
    ("mass", "charge", "text"),
    [
        (0.939565, 0, "particle[1]: mass = 0.939565 MeV and charge = 0 e match no species of the model (K(S)0 497.6"),
        (939.565, 3, "charge = 3 e match no species"),
        (np.nan, 0, "mass = nan MeV"),
        (np.inf, 0, "mass = inf MeV"),
    ],
)
def test_species_that_the_model_has_not(alike: ModelCard, mass: float, charge: float, text: str) -> None:
    conditions = rows([22, 22, 22])
    conditions[1:, MASS], conditions[1:, CHARGE] = mass, charge
    with pytest.raises(InvalidInputError) as caught:
        species_of(alike, conditions)
    assert text in str(caught.value)
    assert str(caught.value).endswith("send the values of a species, or the input pdg")


def test_particles_are_those_of_every_other_protocol(tiny: ModelCard) -> None:
    given = some_particles(500)
    for pdg in (None, given.pdg):
        particles = read_particles(tiny, given.conditions, pdg)
        np.testing.assert_array_equal(particles.pdg, given.pdg)
        np.testing.assert_array_equal(particles.conditions, given.conditions)


def test_energies_and_masses_as_generators_round_them_change_nothing(tiny: ModelCard) -> None:
    given = some_particles(50)
    rounded = given.conditions.copy()
    rounded[:, ENERGY] *= 1.004
    rounded[:, MASS] *= 1.01
    np.testing.assert_array_equal(read_particles(tiny, rounded, given.pdg).conditions, given.conditions)


def test_arrays_of_the_caller_are_left_alone(tiny: ModelCard) -> None:
    given = some_particles(3)
    codes = np.frombuffer(given.pdg.tobytes(), dtype="<i8")
    conditions = np.frombuffer(given.conditions.tobytes(), dtype="<f4").reshape(-1, 9)
    particles = read_particles(tiny, conditions, codes)
    assert not np.shares_memory(particles.pdg, codes)
    assert not np.shares_memory(particles.conditions, conditions)


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        (ENERGY, 1.0, "particle[2]: energy = 1 GeV disagrees with sqrt(p^2 + m^2)"),
        (PZ, 0.0, "particle[2]: pz = 0 GeV/c must not be 0"),
        (PZ, np.nan, "particle[2]: pz = nan GeV/c must be finite"),
        (ENERGY, np.inf, "particle[2]: energy = inf GeV must be finite"),
        (MASS, 0.9, "particle[2]: mass = 0.9 MeV; the PDG table has"),
        (CHARGE, 1.0, "particle[2]: charge = 1 e; the PDG table has 0 e"),
    ],
)
def test_numbers_that_contradict_each_other(tiny: ModelCard, column: int, value: float, text: str) -> None:
    given = some_particles(4)
    conditions = given.conditions.copy()
    conditions[2, column] = value
    with pytest.raises(InvalidInputError) as caught:
        read_particles(tiny, conditions, given.pdg)
    assert text in str(caught.value)


def test_a_species_outside_the_pdg_table_uses_the_given_mass_and_charge(tiny: ModelCard) -> None:
    conditions = some_particles(1).conditions.copy()
    conditions[0, [ENERGY, 4, 5, PZ, MASS, CHARGE]] = [1000.0005, 0, 0, 1000, 1000, 2]
    particles = read_particles(tiny, conditions, np.array([9999999]))
    assert particles.pdg.tolist() == [9999999]
    assert particles.conditions[0, [MASS, CHARGE]].tolist() == [1000, 2]


def test_no_particles(tiny: ModelCard) -> None:
    for pdg in (None, np.zeros(0, dtype=np.int64)):
        with pytest.raises(InvalidInputError, match="no particles"):
            read_particles(tiny, np.zeros((0, 9), dtype=np.float32), pdg)


def test_a_card_may_name_species_of_its_own(tmp_path: Path) -> None:
    own = TinyModel(name="own", species=((9999999, "X", 10.0, 100.0), (22, "gamma", 10.0, 1500.0)))
    card = ModelCard.read(write_model(tmp_path, own))
    photons = Particles.from_columns({"pdg": [22], "px": [0.0], "py": [0.0], "pz": [100.0]})
    assert species_of(card, photons.conditions).tolist() == [22]


def test_codes_that_are_too_long(tiny: ModelCard) -> None:
    with pytest.raises((InvalidInputError, OutOfRangeError), match=r"particle\[0\]: pdg"):
        read_particles(tiny, some_particles(1).conditions, np.array([2**40]))
