import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers.calorimeters import ZN, ZP
from helpers.files.shower_samples import toy_showers
from numpy.typing import NDArray
from zdc_detector.checks import UncheckedShowers, find_problems, particle_numbers
from zdc_detector.particles import CHARGE, CONDITIONS, ENERGY, MASS, PX, PZ

Data = dict[str, NDArray[Any]]


def good() -> UncheckedShowers:
    showers = toy_showers(12, 2)
    data: Data = {
        "particles": showers.particles.conditions.copy(),
        "pdg": showers.particles.pdg.astype(np.int32),
        "responses": showers.responses.astype(np.float64),
        "particle_id": showers.particle_id,
    }
    return UncheckedShowers(data, ZN, CONDITIONS)


def test_a_good_file_has_no_problems() -> None:
    assert find_problems(good()) == []


def put(name: str, where: Any, value: float) -> Callable[[Data], None]:
    def change(data: Data) -> None:
        data[name][where] = value

    return change


def multiply(where: Any, factor: float) -> Callable[[Data], None]:
    def change(data: Data) -> None:
        data["particles"][where] *= factor

    return change


def swap(name: str, make: Callable[[NDArray[Any]], NDArray[Any]]) -> Callable[[Data], None]:
    def change(data: Data) -> None:
        data[name] = make(data[name])

    return change


def every_neutron_in_gev(data: Data) -> None:
    data["particles"][data["pdg"] == 2112, MASS] *= 1e-3


def copy_particle(data: Data) -> None:
    """Give row 5 the particle of row 4, but its own particle_id."""
    assert data["particle_id"][4] != data["particle_id"][5]
    data["particles"][5], data["pdg"][5] = data["particles"][4], data["pdg"][4]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.pop("pdg"), "data set 'pdg' is missing; the layout needs particles, pdg"),
        (swap("pdg", lambda a: a[:, None]), r"data set 'pdg' has shape \(24, 1\); it needs 1 dimensions"),
        (swap("pdg", lambda a: a.astype(float)), "data set 'pdg' has type float64; it needs integers"),
        (swap("responses", lambda a: a.astype(object)), "data set 'responses' has type object; it needs numbers"),
        (swap("pdg", lambda a: a[1:]), "numbers of rows differ: particles has 24, pdg has 23, responses has 24"),
        (swap("particles", lambda a: a[:, :8]), "particles has 8 columns; it needs energy, vx"),
        (swap("responses", lambda a: a[:, :, :40]), r"responses are \(44, 40\), ZN is \(44, 44\); row = x"),
        (put("responses", (7, 3, 4), np.nan), "row 7: a photon count of nan is not finite"),
        (put("responses", (7, 3, 4), -1), "row 7: a photon count of -1 is negative"),
        (put("responses", (7, 3, 4), 65536), "row 7: a photon count of 65536 is above 65535"),
        (put("responses", (7, 3, 4), 0.5), r"row 7: a photon count of 0.5 is not a whole .* log\(1 \+ count\)"),
        (put("particles", (6, PX), np.inf), "row 6: px is inf; remove or repair the row"),
        (put("pdg", 6, 12345678), "row 6: pdg 12345678 has no mass and charge in the PDG table"),
        (every_neutron_in_gev, r"mass = 0.939565 MeV, the PDG table has 939.565 MeV for 2112; .* are these GeV\?"),
        (put("particles", (6, CHARGE), 3), r"row 6: charge = 3 e, the PDG table has 0 e .*\|e\|/3"),
        (multiply((6, ENERGY), 1e3), r"row 6: energy = .* disagrees with sqrt\(p\^2 \+ m\^2\) = .* by more than 1%"),
        (put("particles", (6, PZ), 0), r"row 6: pz = 0 GeV/c must not be 0"),
        (copy_particle, r"row \d+: has the particle of row \d+, whose particle_id is \d+, and another one; a split"),
        (multiply((6, PX), 1.001), r"row \d+: is another particle than row \d+ with the same particle_id"),
    ],
)
def test_each_problem_is_found(change: Callable[[Data], None], message: str) -> None:
    columns = good()
    data = dict(columns.data)
    change(data)
    with np.errstate(invalid="raise"):
        problems = find_problems(replace(columns, data=data))
    assert any(re.search(message, str(problem)) for problem in problems), [str(p) for p in problems]


def test_an_unknown_calorimeter_and_other_columns_are_problems() -> None:
    columns = good()
    assert [str(p) for p in find_problems(replace(columns, calorimeter="it is not known"))] == ["it is not known"]
    assert "responses are (44, 44), ZP is (56, 30); row = x, column = y" in [
        str(p) for p in find_problems(replace(columns, calorimeter=ZP))
    ]
    swapped = ("vx", "energy", *CONDITIONS[2:])
    assert str(find_problems(replace(columns, particle_names=swapped))[0]).startswith(
        "particles has columns ['vx', 'energ"
    )


def test_all_kinds_are_listed_with_first_row_and_number_of_rows() -> None:
    columns = good()
    columns.data["responses"][2:5] = -1
    columns.data["responses"][9, 0, 0] = 0.5
    columns.data["particles"][[3, 8], MASS] = 5000
    found = {(problem.row, problem.rows) for problem in find_problems(columns)}
    assert {(2, 3), (9, 1), (3, 2)} <= found
    text = "\n".join(str(problem) for problem in find_problems(columns))
    assert "row 2: a photon count of -1 is negative; photon counts start at 0 (and 2 more rows)" in text


def test_no_rows_are_a_problem() -> None:
    columns = good()
    empty = replace(columns, data={name: values[:0] for name, values in columns.data.items()})
    assert [str(problem) for problem in find_problems(empty)] == ["there are no rows; a file needs at least one shower"]


def test_particles_are_numbered_by_their_conditions_and_code() -> None:
    particles = np.zeros((5, 9), dtype=np.float32)
    particles[[1, 3], PX] = 0.25
    assert particle_numbers(particles, np.array([22, 22, 22, 22, 130])).tolist() == [0, 1, 0, 1, 2]
