"""The JSON of a request: rows or columns, and errors that name the wrong value."""

import json
import time
import tracemalloc
from typing import Any

import numpy as np
import pytest
from zdc_common.errors import InvalidInputError, OutOfRangeError, TooLargeError
from zdc_detector.particles import CHARGE, ENERGY, MASS
from zdc_service.serving.http.schema import EXAMPLES, SimulateBody, parse_request
from zdc_service.simulation import OutOfRange, Output, SimulationRequest

NEUTRON: dict[str, Any] = {"pdg": 2112, "px": 0.1, "py": 0, "pz": 1500, "vz": 2.0}


def parse(**body: Any) -> SimulationRequest:
    return parse_request(json.dumps(body).encode(), 1000)


def test_rows_and_columns_are_the_same_particles() -> None:
    rows = [NEUTRON, {"pdg": 22, "px": 0, "py": 0.2, "pz": -800.5}]
    columns = {"pdg": [2112, 22], "px": [0.1, 0], "py": [0, 0.2], "pz": [1500, -800.5], "vz": [2.0, 0]}
    a, b = parse(particles=rows).particles, parse(particles=columns).particles
    np.testing.assert_array_equal(a.conditions, b.conditions)
    np.testing.assert_array_equal(a.pdg, b.pdg)


def test_defaults_and_options() -> None:
    default = parse(particles=[NEUTRON])
    assert default == SimulationRequest(default.particles)
    given = parse(
        particles=[NEUTRON], seed=7, first_row=5, repeats=2, output="hits", out_of_range="skip", rates=True,
        model="m", version=3,
    )  # fmt: skip
    wanted = SimulationRequest(given.particles, 7, 5, 2, Output.HITS, OutOfRange.SKIP, True, "m", 3)
    assert given == wanted


def test_derived_columns_may_be_given_by_some_rows_only() -> None:
    plain = parse(particles=[NEUTRON] * 3).particles
    energy = float(plain.conditions[0, ENERGY])
    rows = [NEUTRON, {**NEUTRON, "energy": energy}, {**NEUTRON, "mass": 939.57, "charge": 0}]
    np.testing.assert_array_equal(parse(particles=rows).particles.conditions, plain.conditions)


def test_an_unknown_species_needs_mass_and_charge() -> None:
    code = 9_999_999
    full = {**NEUTRON, "pdg": code, "mass": 1500.0, "charge": 0}
    found = parse(particles=[NEUTRON, full]).particles.conditions
    assert found[1, MASS] == 1500
    assert found[1, CHARGE] == 0
    with pytest.raises(OutOfRangeError, match=r"particle\[1\]: pdg 9999999 is not in the PDG table; send its mass"):
        parse(particles=[full, {**NEUTRON, "pdg": code}])


@pytest.mark.parametrize(
    ("particles", "text"),
    [
        ([], "no particles"),
        ({}, "missing columns"),
        ("x", r"particles must be a list of particles, or an object of columns; received 'x'"),
        ([NEUTRON, 5], r"particle\[1\] = 5 must be an object"),
        ([NEUTRON, {"pdg": 22, "px": 1, "py": 1}], r"particle\[1\]: pz is missing"),
        ([NEUTRON, {**NEUTRON, "Pz": 1}], r"particle\[1\]: Pz: unknown; a particle has pdg, energy"),
        ([NEUTRON, {**NEUTRON, "pz": "12"}], r"particle\[1\]: pz = '12' must be a number"),
        ([NEUTRON, {**NEUTRON, "pz": None}], r"particle\[1\]: pz = None must be a number"),
        ([NEUTRON, {**NEUTRON, "vx": True}], r"particle\[1\]: vx = True must be a number"),
        ([NEUTRON, {**NEUTRON, "pdg": 22.5}], r"particle\[1\]: pdg = 22\.5 must be an integer"),
        ([NEUTRON, {**NEUTRON, "pz": 0}], r"particle\[1\]: pz = 0 GeV/c must not be 0"),
        ([NEUTRON, {**NEUTRON, "pz": 1e300}], r"particle\[1\]: pz = 1e\+300 GeV/c must be finite and within"),
        ([NEUTRON, {**NEUTRON, "mass": 0.93957}], r"particle\[1\]: mass = 0\.93957 MeV; .* did you send GeV"),
        ([NEUTRON, {**NEUTRON, "energy": 1.5e6}], r"particle\[1\]: energy = 1\.5e\+06 GeV disagrees"),
        ({"pdg": [22], "px": 1, "py": [1], "pz": [1]}, r"particles\.px = 1 must be a list"),
        ({"pdg": [22, 22], "px": [1], "py": [1, 1], "pz": [1, 1]}, r"px has shape \(1,\); pdg has 2 rows"),
        ({"pdg": [22], "px": [[1]], "py": [1], "pz": [1]}, r"particle\[0\]: px = \[1\] must be a number"),
        (
            {"pdg": [22], "px": [1], "py": [1], "pz": [1], "e": [1]},
            r"particles\.e: unknown; a particle has pdg, energy",
        ),
        (
            [NEUTRON, {**NEUTRON, "px": 1e200}, {**NEUTRON, "energy": 1500}],
            r"particle\[1\]: px = 1e\+200 GeV/c must be",
        ),
        (
            [NEUTRON, {**NEUTRON, "px": -1e40}, {**NEUTRON, "energy": 1500}],
            r"particle\[1\]: px = -1e\+40 GeV/c must be",
        ),
        (
            [NEUTRON, {**NEUTRON, "pdg": 1e300}, {**NEUTRON, "mass": 1500}],
            r"particle\[1\]: pdg 1e\+300 is not in the PDG",
        ),
        ([NEUTRON, {**NEUTRON, "energy": 1e308}], r"particle\[1\]: energy = 1e\+308 GeV must be finite and within"),
        ([NEUTRON, {**NEUTRON, "mass": 1e308}], r"particle\[1\]: mass = 1e\+308 MeV must be finite and within"),
        ([NEUTRON, {**NEUTRON, "mass": 1e308}, {**NEUTRON, "energy": 1}], r"particle\[1\]: mass = 1e\+308 MeV must be"),
        ([NEUTRON, {**NEUTRON, "charge": -1e308}], r"particle\[1\]: charge = -1e\+308 e must be finite and within"),
        ([NEUTRON, {**NEUTRON, "pz": -0.0}], r"particle\[1\]: pz = -0 GeV/c must not be 0"),
        ([NEUTRON, {**NEUTRON, "pz": 5e-324}], r"particle\[1\]: pz = 0 GeV/c must not be 0"),
        ([NEUTRON, {**NEUTRON, "pdg": 2**63}], r"particle\[1\]: pdg = 9\.22\S* must be an integer PDG code"),
        ([NEUTRON, {**NEUTRON, "pdg": 2**32 + 2112}], r"particle\[1\]: pdg = 4\.29\S* must be an integer PDG code"),
        ([{**NEUTRON, "x" * 5000: 1}], r"particle\[0\]: x{77}\.\.\.: unknown"),
        ([{**NEUTRON, "px": "x" * 5000}], r"px = 'x{1,50}\.\.\.x{1,50}' must be a number"),
        (["y" * 5000], r"particle\[0\] = 'y{1,50}\.\.\.y{1,50}' must be an object"),
    ],
)
def test_wrong_particles_are_named(particles: Any, text: str) -> None:
    with pytest.raises(InvalidInputError, match=text):
        parse(particles=particles)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "the body is not JSON"),
        (b"\xff", "the body is not JSON"),
        (b"[]", "body: Input should be"),
        (b"{}", "particles: Field required"),
        (b'{"particles": [], "seed": "x"}', "seed: Input should be a valid integer"),
        (b'{"particles": [], "output": "image"}', "output: Input should be 'response', 'channels' or 'hits'"),
        (b'{"particles": [], "seeds": 1}', "seeds: unknown; a request has seed, first_row, repeats"),
        (b'{"particles": [], "seed": true}', "seed: Input should be a valid integer; received True"),
        (b'{"particles": [], "repeats": "2"}', "repeats: Input should be a valid integer; received '2'"),
        (b'{"particles": [], "rates": 1}', "rates: Input should be a valid boolean"),
        (b'{"particles": [], "version": 0}', "version: Input should be greater than or equal to 1"),
        (b'{"particles": [], "' + b"x" * 5000 + b'": 0}', r"^x{77}\.\.\.: unknown; a request has seed"),
        (b'{"particles": [], "seed": "' + b"x" * 5000 + b'"}', r"received 'x{1,50}\.\.\.x{1,50}'$"),
        (b'{"particles": [], "a": 0, "b": 0, "c": 0}', "^a and 2 more: unknown; a request has seed"),
        (b'{"seed": 1' + b"0" * 400 + b', "particles": []}', "the body is not JSON: number is infinity"),
    ],
)
def test_wrong_bodies_are_named(body: bytes, text: str) -> None:
    with pytest.raises(InvalidInputError, match=text):
        parse_request(body, 1000)


def test_the_documented_examples_parse() -> None:
    for example in EXAMPLES.values():
        assert len(parse_request(json.dumps(example["value"]).encode(), 1000).particles)


def test_the_schema_stands_alone() -> None:
    assert "$ref" not in json.dumps(SimulateBody.model_json_schema())


def test_numbers_that_float32_rounds_away_are_zero() -> None:
    """Also as squares, which are float64."""
    tiny = {**NEUTRON, "px": 1e-30, "py": -5e-324, "vx": -0.0}
    np.testing.assert_array_equal(
        parse(particles=[tiny]).particles.conditions, parse(particles=[{**NEUTRON, "px": 1e-30}]).particles.conditions
    )
    assert parse(particles=[{**NEUTRON, "px": 1e9, "pz": 1e9}]).particles.conditions[0, ENERGY] == pytest.approx(
        2**0.5 * 1e9
    )


def test_many_unknown_names_are_counted_and_not_explained() -> None:
    """With an error for each, 700,000 names took 790 MB."""
    keys = {f"k{i}": 0 for i in range(9000)}
    for body in ({"particles": [NEUTRON], **keys}, {"particles": keys}, {"particles": [NEUTRON | keys]}):
        with pytest.raises(InvalidInputError, match=r"k0 and 8999 more: unknown"):
            parse(**body)


@pytest.mark.parametrize(
    "body",
    [
        '{"particles": [' + "{}," * 1_000_000 + "{}]}",
        '{"particles": {"pdg": [' + "[]," * 1_000_000 + "0]}}",
        '{"particles": {"pdg": [' + "0.5," * 700_000 + "0]}}",
        '{"particles": [], ' + ", ".join(f'"k{i}": 0' for i in range(200_000)) + "}",
        "[" + '"ab",' * 500_000 + "0]",
    ],
    ids=["objects", "lists", "numbers", "names", "texts"],
)
def test_values_are_counted_before_there_are_objects_of_them(body: str) -> None:
    encoded = body.encode()
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(TooLargeError, match=r"the body has \d+ values, more than a request with"):
        parse_request(encoded, 1000)
    seconds, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 0.2
    assert peak < 1_000_000


def test_the_largest_requests_are_not_too_large() -> None:
    full = {**NEUTRON, "vx": 0, "vy": 0, "energy": 1500.0003, "mass": 939.5654, "charge": 0}
    options = {"seed": 1, "first_row": 1, "repeats": 1, "output": "hits", "rates": True, "model": "m", "version": 1}
    for particles in ([full] * 1000, {name: [value] * 1000 for name, value in full.items()}):
        assert len(parse(particles=particles, **options).particles) == 1000


def test_rows_are_counted_before_anything_is_done_for_each() -> None:
    """Unknown codes that were looked up one by one took 23 us per row."""
    rows = [{"pdg": 10**8 + i, "px": 0, "py": 0, "pz": 1} for i in range(2000)]
    for particles in (rows, {name: [row[name] for row in rows] for name in rows[0]}):
        with pytest.raises(TooLargeError, match="2000 particles x 1 repeat = 2000 rows are above the limit of 1000"):
            parse(particles=particles)
    few = {"particles": rows[:10], "repeats": 200}
    with pytest.raises(TooLargeError, match="10 particles x 200 repeats"):
        parse(**few)
