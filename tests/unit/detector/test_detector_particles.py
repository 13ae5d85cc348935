import time
from typing import Any

import numpy as np
import pytest
from particle import Particle as PdgEntry
from zdc_common.errors import InvalidInputError, OutOfRangeError
from zdc_detector.particles import (
    CHARGE,
    CONDITIONS,
    ENERGY,
    LARGEST,
    MASS,
    PX,
    PZ,
    SMALLEST_PZ,
    VZ,
    Particles,
    species_name,
)
from zdc_detector.pdg_table import look_up, mass_and_charge, pdg_table

GOOD: dict[str, Any] = {"pdg": [2112, 22, 2212], "px": [0.1, 0, 0], "py": [0, 0.05, 0], "pz": [1500, -200, 30]}


def test_energy_mass_and_charge_follow_from_the_code() -> None:
    particles = Particles.from_columns(GOOD)
    assert particles.conditions.dtype == np.float32
    assert particles.conditions.shape == (3, 9)
    assert particles.conditions[:, MASS] == pytest.approx([939.5654, 0, 938.2721])
    assert particles.conditions[:, 8].tolist() == [0, 0, 1]
    assert particles.conditions[:, 1:4].tolist() == [[0, 0, 0]] * 3
    assert particles.conditions[:, ENERGY] == pytest.approx(
        [np.sqrt(1500**2 + 0.1**2 + 0.9395654**2), np.sqrt(200**2 + 0.05**2), np.sqrt(30**2 + 0.9382721**2)], rel=1e-6
    )


def test_doubles_and_floats_give_the_same_nine_numbers() -> None:
    rng = np.random.default_rng(1)
    columns = {"px": rng.normal(size=200), "py": rng.normal(size=200), "pz": rng.uniform(10, 2000, 200)}
    pdg = np.full(200, 3122)
    doubles = Particles.from_columns({"pdg": pdg, **columns})
    floats = Particles.from_columns({"pdg": pdg, **{name: c.astype(np.float32) for name, c in columns.items()}})
    assert doubles.conditions.tobytes() == floats.conditions.tobytes()


def test_given_energy_mass_and_charge_must_agree_with_the_table() -> None:
    derived = Particles.from_columns(GOOD)
    given = {name: derived.conditions[:, CONDITIONS.index(name)] for name in ("energy", "mass", "charge")}
    assert Particles.from_columns({**GOOD, **given}).conditions.tobytes() == derived.conditions.tobytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pz": [1500, float("nan"), 30]}, r"particle\[1\]: pz = nan GeV/c must be finite"),
        ({"pz": [1500, 1e39, 30]}, r"particle\[1\]: pz = 1e\+39 GeV/c must be finite and within \+-1e\+09 GeV/c"),
        ({"vx": [0, 0, -2e9]}, r"particle\[2\]: vx = -2e\+09 cm must be finite and within"),
        (
            {"pz": [1500, -200, 0]},
            r"particle\[2\]: pz = 0 GeV/c must not be 0 or below 1e-09 in size; calorimeters are at \+z and -z only",
        ),
        ({"pz": [1500, -1e-10, 30]}, r"particle\[1\]: pz = -1e-10 GeV/c must not be 0 or below 1e-09"),
        ({"pdg": [2112, 22, -(2**63)]}, r"particle\[2\]: pdg = -9.22337e\+18 must be an integer PDG code"),
        ({"pz": [1500, -200]}, r"pz has shape \(2,\); pdg has 3 rows"),
        ({"pz": ["a", "b", "c"]}, "pz must be a column of numbers"),
        ({"pdg": [2112, 22.5, 2212]}, r"particle\[1\]: pdg = 22.5 must be an integer PDG code"),
        ({"pdg": ["n", "n", "n"]}, "pdg must be a column of integers"),
        ({"pdg": []}, "no particles; send at least one"),
        (
            {"mass": [0.9395, 0, 938.27]},
            r"particle\[0\]: mass = 0.9395 MeV; the PDG table has 939.565 MeV.*in GeV\?|GeV",
        ),
        ({"charge": [0, 0, 3]}, r"particle\[2\]: charge = 3 e; the PDG table has 1 e: ROOT's"),
        (
            {"energy": [1500, 200, 30000]},
            r"particle\[2\]: energy = 30000 GeV disagrees .* = 30.0147; energies are total",
        ),
        ({"e": [1, 2, 3]}, r"unknown columns \['e'\]"),
    ],
)
def test_errors_name_row_value_and_remedy(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Particles.from_columns({**GOOD, **change})


def test_an_error_counts_the_rows_beyond_the_first() -> None:
    with pytest.raises(InvalidInputError, match=r"particle\[0\]: pz = 0 .* \(and 2 more rows\)"):
        Particles.from_columns({**GOOD, "pz": [0, 0, 0]})


def test_missing_columns_are_named() -> None:
    with pytest.raises(InvalidInputError, match=r"missing columns \['py', 'pz'\]"):
        Particles.from_columns({"pdg": [22], "px": [0]})


def test_unknown_codes_need_mass_and_charge() -> None:
    unknown = {"pdg": [22, 99999999], "px": [0, 0], "py": [0, 0], "pz": [50, 60]}
    with pytest.raises(OutOfRangeError, match=r"particle\[1\]: pdg 99999999 is not in the PDG table; send its mass"):
        Particles.from_columns(unknown)
    given = Particles.from_columns({**unknown, "mass": [0, 2000], "charge": [0, 1]})
    assert given.conditions[1, MASS] == 2000
    assert given.conditions[1, ENERGY] == pytest.approx(np.sqrt(60**2 + 2**2))
    with pytest.raises(InvalidInputError, match=r"particle\[1\]: mass = -5 MeV must not be negative"):
        Particles.from_columns({**unknown, "mass": [0, -5], "charge": [0, 1]})


def test_the_widest_particles_have_finite_conditions_and_lines() -> None:
    ends = [-LARGEST, LARGEST]
    columns: dict[str, Any] = {
        "pdg": [22, 22],
        "px": ends,
        "py": ends,
        "pz": [SMALLEST_PZ, -SMALLEST_PZ],
        "vx": ends,
        "vz": ends,
    }
    conditions = Particles.from_columns(columns).conditions
    assert np.isfinite(conditions**2).all()
    assert np.isfinite(conditions[:, PX] * (conditions[:, VZ] / conditions[:, PZ])).all()


def test_toward_a_mirrors_only_what_flies_to_minus_z() -> None:
    particles = Particles.from_columns({**GOOD, "vz": [1, 2, 3]})
    mirrored = particles.toward_a()
    assert particles.side.tolist() == [b"A", b"C", b"A"]
    assert mirrored.side.tolist() == [b"A", b"A", b"A"]
    expected = particles.conditions.copy()
    expected[1, [VZ, PZ]] *= -1
    assert mirrored.conditions.tobytes() == expected.tobytes()
    assert mirrored.toward_a() is mirrored


def test_blocks_join_and_split() -> None:
    particles = Particles.from_columns(GOOD)
    again = Particles.concatenate([particles[:1], particles[np.array([1, 2])]])
    assert again.pdg.tolist() == particles.pdg.tolist()
    assert again.conditions.tobytes() == particles.conditions.tobytes()
    assert len(particles[np.array([True, False, True])]) == 2


def test_masses_of_the_pdg_table() -> None:
    assert mass_and_charge(-2112) == pytest.approx((939.565, 0), rel=1e-5)
    assert mass_and_charge(14) == (0, 0)
    with pytest.raises(OutOfRangeError, match="pdg 0 is not in the PDG table"):
        mass_and_charge(0)


def test_species_names() -> None:
    assert [species_name(code) for code in (22, 2112, 99999999)] == ["gamma", "n", "99999999"]


def test_the_table_is_that_of_the_particle_package() -> None:
    """As arrays, with the charges of nuclei from their codes."""
    codes, values = pdg_table()
    assert (np.diff(codes) > 0).all()
    expected = {}
    for entry in PdgEntry.all():
        mass = 0.0 if abs(entry.pdgid) in (12, 14, 16) else entry.mass
        if mass is not None and entry.charge is not None and abs(entry.pdgid) not in (1000000010, 1000010010):
            expected[int(entry.pdgid)] = (mass, float(entry.charge))
    assert dict(zip(codes.tolist(), map(tuple, values.tolist()), strict=True)) == expected
    found, known = look_up(np.array([2112, 3168, 1000822080, -(2**62), 2**62]))
    assert known.tolist() == [True, False, True, False, False]
    assert found[[0, 2]].tolist() == [list(mass_and_charge(2112)), list(mass_and_charge(1000822080))]


def test_many_species_cost_no_more_than_few() -> None:
    """2000 alternating nuclei once took a third of a second, and 286,000 unknown codes seven seconds."""
    nuclei = pdg_table()[0][-2000:]
    columns = {"px": np.zeros(2000), "py": np.zeros(2000), "pz": np.full(2000, 100.0)}
    Particles.from_columns({"pdg": nuclei, **columns})  # reads the table, compiles
    began = time.process_time()
    for _ in range(10):
        found = Particles.from_columns({"pdg": nuclei, **columns})
    assert time.process_time() - began < 0.2
    np.testing.assert_array_equal(found.conditions[:, [MASS, CHARGE]], look_up(nuclei)[0].astype(np.float32))
    unknown = np.arange(10_000_000, 10_286_000)
    many = {"pdg": unknown, "px": unknown, "py": unknown, "pz": unknown}
    began = time.process_time()
    with pytest.raises(OutOfRangeError, match=r"particle\[0\]: pdg 10000000 is not in the PDG table"):
        Particles.from_columns(many)
    Particles.from_columns({**many, "mass": np.full(286_000, 100.0), "charge": np.zeros(286_000)})
    assert time.process_time() - began < 1.5


@pytest.mark.parametrize(
    ("px", "text"),
    [
        (["1.5"], "px must be a column of numbers. received <U3"),
        ([1 + 2j], "px must be a column of numbers. received complex128"),
        ([True], "px must be a column of numbers. received bool"),
        ([[1.0]], r"px has shape \(1, 1\)"),
        ([10**400], "px must be a column of numbers"),
    ],
)
def test_columns_that_are_no_numbers(px: list[Any], text: str) -> None:
    with pytest.raises(InvalidInputError, match=text):
        Particles.from_columns({"pdg": [22], "px": px, "py": [0.0], "pz": [50.0]})


@pytest.mark.parametrize("pdg", [2**31, -(2**31), 2**32 + 2112, 2**63, -(2**63), 1e300, float("nan"), float("inf")])
def test_codes_of_more_than_32_bits_are_refused(pdg: float) -> None:
    with pytest.raises(InvalidInputError, match=r"particle\[1\]: pdg = "):
        Particles.from_columns({"pdg": np.array([22, pdg]), "px": [0, 0], "py": [0, 0], "pz": [50, 60]})


@pytest.mark.parametrize(("ion", "nucleon"), [(1000000010, 2112), (1000010010, 2212), (-1000000010, -2112)])
def test_a_nucleon_that_is_written_as_an_ion_is_that_nucleon(ion: int, nucleon: int) -> None:
    columns = {"px": [0.1, 0.0], "py": [0.0, 0.0], "pz": [1500.0, -300.0]}
    expected = Particles.from_columns({"pdg": [nucleon, 22], **columns})
    kinematics = np.zeros((2, 6), dtype=np.float32)
    kinematics[:, :3] = np.column_stack(list(columns.values()))
    for found in (
        Particles.from_columns({"pdg": [ion, 22], **columns}),
        Particles.from_columns({"pdg": [ion, 22], "charge": expected.conditions[:, CHARGE], **columns}),
        Particles.from_rows(np.array([ion, 22]), kinematics),
    ):
        assert found.pdg.tolist() == [nucleon, 22]
        np.testing.assert_array_equal(found.conditions, expected.conditions)
    assert mass_and_charge(ion) == mass_and_charge(nucleon)
    assert ion not in pdg_table()[0]
