import numpy as np
import pytest
from helpers.calorimeters import ZN, ZP
from numpy.typing import NDArray
from pydantic import ValidationError
from zdc_detector.calorimeter import Calorimeter

STRIPS = Calorimeter(
    name="STRIPS",
    shape=(3, 4),
    half_width=(1.5, 2.0),
    face_z=100.0,
    channel_names=("a", "b"),
    channel_map=("1122", ".12.", "2211"),
)


def naive_sums(responses: NDArray[np.generic], calorimeter: Calorimeter) -> list[list[float]]:
    sums = []
    for response in responses:
        row = [0.0] * len(calorimeter.channel_names)
        for i, line in enumerate(calorimeter.channel_map):
            for j, char in enumerate(line):
                if char != ".":
                    row[int(char) - 1] += float(response[i, j])
        sums.append(row)
    return sums


@pytest.mark.parametrize("calorimeter", [ZN, STRIPS], ids=lambda c: c.name)
def test_channel_sums_equal_a_double_loop(calorimeter: Calorimeter) -> None:
    responses = np.random.default_rng(1).integers(0, 65535, (3, *calorimeter.shape)).astype(np.uint16)
    sums = calorimeter.channel_sums(responses)
    assert sums.dtype == np.uint32
    assert sums.tolist() == naive_sums(responses, calorimeter)
    rates = responses[:2] / np.float32(65536)
    assert calorimeter.channel_sums(rates).dtype == np.float32
    assert np.allclose(calorimeter.channel_sums(rates).astype(np.float64), naive_sums(rates, calorimeter), rtol=1e-5)


def test_zn_channels_are_four_quadrants_and_the_odd_fibres() -> None:
    for i in range(44):
        for j in range(44):
            quadrant = {(True, True): 1, (True, False): 2, (False, True): 3, (False, False): 4}[(i < 22, j < 22)]
            assert ZN.channel_index[i, j] == (4 if (i + j) % 2 else quadrant - 1)
    assert ZN.channel_names == ("tower1", "tower2", "tower3", "tower4", "common")
    assert ZN.fibres == 1936


def test_zp_channels_are_four_strips_along_x_and_the_odd_fibres() -> None:
    for i in range(56):
        for j in range(30):
            assert ZP.channel_index[i, j] == (4 if (i + j) % 2 else i // 14)
    assert ZP.fibres == 1680
    assert ZP.pitch == pytest.approx((0.4, 0.4))


def test_a_row_of_sums_does_not_depend_on_the_others() -> None:
    rates = np.random.default_rng(2).random((50, 44, 44), dtype=np.float32) * 100
    together = ZN.channel_sums(rates)
    assert all(ZN.channel_sums(rates[i : i + 1]).tobytes() == together[i].tobytes() for i in range(50))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (("1122", ".12.", "221"), "3 strings of 4 characters"),
        (("1122", ".13.", "2211"), r"uses \['3'\]"),
        (("1122", ".12.", "22a1"), r"uses \['a'\]"),
        (("1111", ".11.", "1111"), "gives no fibre to b"),
    ],
)
def test_a_map_that_does_not_fit_is_refused(rows: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Calorimeter(**{**STRIPS.model_dump(), "channel_map": rows})


def test_a_calorimeter_survives_json() -> None:
    assert Calorimeter.model_validate_json(ZN.model_dump_json()) == ZN


def conditions(x: float, y: float, vz: float, px: float, pz: float) -> NDArray[np.float32]:
    return np.array([[1000, x, y, vz, px, 0, pz, 0, 0]], dtype=np.float32)


def test_impact_points_are_straight_lines() -> None:
    # 0.1 mrad over 112.598 m is 1.12598 cm; the vertex shifts it and shortens the path.
    assert ZN.impact_points(conditions(0, 0, 0, 0.1, 1000))[0] == pytest.approx([1.12598, 0])
    assert ZN.impact_points(conditions(0.5, -0.25, 259.8, 0.1, 1000))[0] == pytest.approx([1.6, -0.25])
    # Toward -z: the path to the plane at -112.598 m, seen from a vertex on that side.
    assert ZN.impact_points(conditions(0, 0, -259.8, 0.1, -1000))[0] == pytest.approx([1.1, 0])


def test_impact_points_are_relative_to_the_centre_of_the_face() -> None:
    # ZP's centre is at x = 24.35 cm on both sides: 2 mrad over 112.518 m is 22.5036 cm.
    for pz in (1000, -1000):
        assert ZP.impact_points(conditions(0, 0.5, 0, 2, pz))[0] == pytest.approx([22.5036 - 24.35, 0.5])
        assert ZP.hits_face(conditions(0, 0, 0, 2, pz))[0]
        assert not ZP.hits_face(conditions(0, 0, 0, 0, pz))[0]


@pytest.mark.parametrize("side", [1, -1])
def test_particles_born_behind_the_face_miss_it(side: int) -> None:
    ahead, behind = (ZN.face_z - 1, ZN.face_z, -1e4), (ZN.face_z + 1e-3, 11300, 1e9)
    for vz, hits in [*((vz, True) for vz in ahead), *((vz, False) for vz in behind)]:
        particle = conditions(0, 0, side * vz, 0, side * 1000)
        assert ZN.hits_face(particle)[0] == hits
        assert ZN.behind_face(particle)[0] != hits


@pytest.mark.parametrize("face_z", [ZN.face_z, 11260.0, 11259.1, 0.1])
@pytest.mark.parametrize("side", [1, -1])
def test_a_particle_at_the_face_hits_the_point_where_it_is_given(side: int, face_z: float) -> None:
    """float32 rounds some of these distances up and others down."""
    calorimeter = ZN.model_copy(update={"face_z": face_z})
    particle = conditions(1.25, -0.5, side * face_z, 5.0, side * 1000)
    assert calorimeter.at_face(particle).all()
    assert not calorimeter.behind_face(particle).any()
    assert calorimeter.hits_face(particle).all()
    assert calorimeter.impact_points(particle).tolist() == [[1.25, -0.5]]
    for vz, behind in ((np.nextafter(np.float32(face_z), np.float32(1e9)), True), (-face_z, False), (0, False)):
        elsewhere = conditions(1.25, -0.5, side * vz, 5.0, side * 1000)
        assert not calorimeter.at_face(elsewhere).any()
        assert calorimeter.behind_face(elsewhere).all() == behind


@pytest.mark.parametrize(("px", "hits"), [(0.31, True), (-0.31, True), (0.32, False), (-0.32, False)])
def test_the_face_ends_at_its_half_width(px: float, hits: bool) -> None:
    assert ZN.hits_face(conditions(0, 0, 0, px, 1000))[0] == hits
    assert ZN.hits_face(conditions(0, 0, 0, px, -1000))[0] == hits


@pytest.mark.parametrize("name", ["left\r\nX-Other: 1", "left\n", "a,b", "", " a", "links\u00e4", "x" * 65, "a"])
def test_channel_names_fit_a_header(name: str) -> None:
    """HTTP answers list them there; the last is a name twice."""
    with pytest.raises(ValidationError, match="channel_names"):
        Calorimeter.model_validate(STRIPS.model_dump() | {"channel_names": ("a", name)})


def test_channel_names_may_have_spaces_and_signs() -> None:
    names = ("tower 1 (A+C)", "b")
    assert Calorimeter.model_validate(STRIPS.model_dump() | {"channel_names": names}).channel_names == names


def test_calorimeters_are_equal_whatever_they_have_computed() -> None:
    one, other = (ZN.model_copy(update={}) for _ in range(2))
    assert one.channel_index.shape == other.channel_of_fibre.reshape(44, 44).shape  # both are cached now
    assert one == other
    assert hash(one) == hash(other)
    assert one != ZN.model_copy(update={"centre": (0.0, 1.0)})
    assert one != "ZN"
