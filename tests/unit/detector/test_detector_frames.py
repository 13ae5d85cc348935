"""Particles that are given at the face: their vz, and what a model card says of them."""

import numpy as np
import pytest
from helpers.calorimeters import ZN, ZP
from helpers.models.tiny_model import AT_FACE, face_particles, some_particles
from pydantic import ValidationError
from zdc_common.errors import InvalidInputError
from zdc_detector.frames import Frame, carried_to_face, placed_at_face
from zdc_detector.particles import PX, PY, PZ, VX, VY, VZ, Particles
from zdc_detector.ranges import RANGES, Ranges, SpeciesRange

SPECIES = (SpeciesRange(pdg=2112, name="n", energy=(50, 2600)), SpeciesRange(pdg=2212, name="p", energy=(50, 2600)))
VERTEX = ((-0.1, 0.1), (-0.1, 0.1), (-30.0, 30.0))
BOTH = Ranges(species=SPECIES, vertex=VERTEX, frames=(Frame.VERTEX, Frame.FACE), face=AT_FACE)
VERTEX_ONLY = Ranges(species=SPECIES, vertex=VERTEX)
FACE_ONLY = Ranges(species=SPECIES, vertex=VERTEX, frames=(Frame.FACE,), face=AT_FACE)


def particle(pdg: int = 2112, pz: float = 1000.0, **columns: float) -> Particles:
    return Particles.from_columns(
        {"pdg": [pdg], "px": [0.0], "py": [0.0], "pz": [pz]} | {k: [v] for k, v in columns.items()}
    )


def reason(ranges: Ranges, particles: Particles) -> str:
    """The reason of a single particle, and the check that its message begins with it."""
    (number,) = ranges.outside(particles, ZN)
    if number:
        assert ranges.message(particles, 0, ZN).startswith(f"{RANGES[number]}: ")
    return RANGES[number]


def test_vz_is_that_of_the_face_on_either_side_and_nothing_else_changes() -> None:
    given = face_particles(200)
    placed = placed_at_face(given, ZN)
    assert ZN.at_face(placed.conditions).all()
    assert {-1, 1} == set(np.sign(placed.conditions[:, VZ]))
    others = [i for i in range(9) if i != VZ]
    np.testing.assert_array_equal(placed.conditions[:, others], given.conditions[:, others])
    np.testing.assert_array_equal(ZN.impact_points(placed.conditions), given.conditions[:, VX:VZ])
    assert placed_at_face(placed, ZN) is placed


@pytest.mark.parametrize("side", [1, -1])
def test_a_given_vz_may_be_that_of_the_face_and_no_other(side: int) -> None:
    for vz in (0.0, ZN.face_z, ZN.face_z + 0.05, ZN.face_z - 0.05):
        assert ZN.at_face(placed_at_face(particle(pz=side * 1000.0, vz=side * vz), ZN).conditions).all()
    for vz in (1.0, 11258.0, -ZN.face_z):
        with pytest.raises(InvalidInputError, match=r"particle\[1\]: vz = .* contradicts frame = face: .*leave vz out"):
            placed_at_face(Particles.concatenate([particle(), particle(pz=side * 1000.0, vz=side * vz)]), ZN)


@pytest.mark.parametrize("side", [1, -1])
def test_ranges_at_the_face(side: int) -> None:
    pz, face = side * 1000.0, side * ZN.face_z
    for pdg in (2112, 2212):
        for within in ({"px": 5.0, "vx": 3.6}, {"py": -5.0, "vy": -3.6}, {"px": -4.0, "vx": 2.0}):
            assert reason(BOTH, particle(pdg, pz, vz=face, **within)) == ""
        assert reason(BOTH, particle(pdg, pz, vz=face, vx=3.61)) == "position"
        assert reason(BOTH, particle(pdg, pz, vz=face, vy=-3.61)) == "position"
        assert reason(BOTH, particle(pdg, pz, vz=face, px=5.01)) == "slope"
        assert reason(BOTH, particle(pdg, pz, vz=face, py=-5.01)) == "slope"
        assert reason(BOTH, particle(pdg, 40 * side, vz=face)) == "energy"
        assert reason(VERTEX_ONLY, particle(pdg, pz, vz=face)) == "frame"
    assert reason(BOTH, particle(22, pz, vz=face)) == "species"
    assert reason(BOTH, particle(2112, pz)) == reason(FACE_ONLY, particle(2112, pz)) == ""
    assert reason(BOTH, particle(2112, pz, vx=0.2)) == "vertex"


def test_charged_particles_from_a_vertex_are_refused_whatever_the_model() -> None:
    for ranges in (BOTH, FACE_ONLY, VERTEX_ONLY):
        assert reason(ranges, particle(2212)) == "frame"
        assert "magnets sweep a charged particle away" in ranges.message(particle(2212), 0, ZN)
    assert "magnets sweep" in BOTH.message(particle(-211), 0, ZN)  # a species that the model does not know


def test_a_bound_of_the_slope_is_within_the_range() -> None:
    """px/pz of float32 numbers may be rounded away from the bound."""
    pz = np.random.default_rng(0).uniform(60, 2500, 1000)
    columns = {"pdg": np.full(1000, 2112), "px": 0.005 * pz, "py": -0.005 * pz, "pz": pz}
    assert not BOTH.outside(placed_at_face(Particles.from_columns(columns), ZN), ZN).any()


def test_a_model_of_the_face_gets_neutral_particles_where_their_lines_meet_it() -> None:
    given = some_particles(500, seed=4)
    np.testing.assert_array_equal(BOTH.aimed(given, ZN).conditions, given.toward_a().conditions)
    aimed, hits = FACE_ONLY.aimed(given, ZN), ZN.hits_face(given.conditions)
    assert 0.3 < hits.mean() < 0.9
    np.testing.assert_array_equal(ZN.at_face(aimed.conditions), hits)
    # float32 rounds a position of 3.5 cm to 2.4e-7 cm
    np.testing.assert_allclose(ZN.impact_points(aimed.conditions), ZN.impact_points(given.conditions), atol=3e-7)
    np.testing.assert_array_equal(aimed.conditions[:, [PX, PY]], given.conditions[:, [PX, PY]])
    np.testing.assert_array_equal(aimed.conditions[~hits], given.toward_a().conditions[~hits])
    assert carried_to_face(aimed, ZN) is aimed


def test_positions_are_those_of_alice_also_if_the_face_is_beside_the_beam() -> None:
    slope = (ZP.centre[0] + 2.5) / ZP.face_z
    carried = carried_to_face(particle(px=1000.0 * slope, vy=0.5), ZP)
    assert carried.conditions[0, [VX, VY]] == pytest.approx([ZP.centre[0] + 2.5, 0.5])
    placed = placed_at_face(particle(2212, vx=ZP.centre[0] + 2.5, vy=0.5), ZP)
    assert placed.conditions[0, [VX, VY, VZ]] == pytest.approx([ZP.centre[0] + 2.5, 0.5, ZP.face_z])
    for one in (carried, placed):
        assert ZP.impact_points(one.conditions)[0] == pytest.approx([2.5, 0.5], abs=1e-5)  # float32 at 25 cm


def test_charged_particles_are_not_carried_along_a_straight_line() -> None:
    proton = particle(2212)
    assert carried_to_face(proton, ZN) is proton


def test_frames_and_ranges_of_a_card_fit() -> None:
    old = Ranges.model_validate({"species": [SPECIES[0].model_dump()], "vertex": VERTEX})
    assert old.frames == (Frame.VERTEX,)
    for frames, face in (((Frame.FACE,), None), ((Frame.VERTEX,), AT_FACE), ((), None)):
        with pytest.raises(ValidationError, match="frames"):
            Ranges(species=SPECIES, vertex=VERTEX, frames=frames, face=face)
    assert Ranges.model_validate_json(BOTH.model_dump_json()) == BOTH
    assert particle(vx=1).conditions[0, [VX, VY, PZ]].tolist() == [1, 0, 1000]
