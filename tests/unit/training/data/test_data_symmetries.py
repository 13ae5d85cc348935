from pathlib import Path

import numpy as np
import pytest
from helpers.calorimeters import BOARD, ZN, ZP
from helpers.files.shower_samples import DATA, toy_showers, write_showers
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from zdc_common.errors import InvalidInputError
from zdc_detector.symmetries import NAMES, TRANSPOSE, apply_symmetry, symmetries_of, turn_conditions, turn_points
from zdc_metrics.scores.classifier import fibre_positions
from zdc_training.data.check_symmetries import (
    check_symmetries,
    format_tests,
    invariant_classes,
    observables,
    permutation_test,
)

SHOWERS = toy_showers(40)
CONDITIONS, RESPONSES = SHOWERS.particles.conditions, SHOWERS.responses


def matrix(symmetry: int) -> NDArray[np.float64]:
    """The matrix of a symmetry for (x, y)."""
    flip = np.diag([-1.0 if symmetry & 1 else 1.0, -1.0 if symmetry & 2 else 1.0])
    turn: NDArray[np.float64] = flip @ (np.array([[0.0, 1.0], [1.0, 0.0]]) if symmetry & TRANSPOSE else np.eye(2))
    return turn


@pytest.mark.parametrize("symmetry", range(8))
def test_image_momentum_and_vertex_turn_together(symmetry: int) -> None:
    conditions, responses = apply_symmetry(CONDITIONS, RESPONSES, symmetry)
    turn = matrix(symmetry)
    for columns in ((4, 5), (1, 2)):
        expected = CONDITIONS[:, list(columns)] @ turn.T
        assert conditions[:, list(columns)].tolist() == expected.tolist()
    assert conditions[:, [0, 3, 6, 7, 8]].tolist() == CONDITIONS[:, [0, 3, 6, 7, 8]].tolist()
    before, after = ZN.impact_points(CONDITIONS), ZN.impact_points(conditions)
    assert np.allclose(after, before @ turn.T)
    # Each photon's fibre turns as the impact point does.
    position = np.stack(np.meshgrid(fibre_positions(ZN, 0), fibre_positions(ZN, 1), indexing="ij"))
    photons, turned = RESPONSES.astype(float), responses.astype(float)
    moments = np.einsum("nij,cij->nc", photons, position), np.einsum("nij,cij->nc", turned, position)
    assert np.allclose(moments[1], moments[0] @ turn.T)
    assert np.sort(responses.reshape(40, -1)).tolist() == np.sort(RESPONSES.reshape(40, -1)).tolist()


def test_the_eight_are_different_and_form_a_group() -> None:
    image = np.arange(44 * 44).reshape(1, 44, 44)
    condition = CONDITIONS[:1]
    turned = {apply_symmetry(condition, image, k)[1].tobytes() for k in range(8)}
    assert len(turned) == len(NAMES) == 8
    for a in range(8):
        for b in range(8):
            conditions, responses = apply_symmetry(*apply_symmetry(condition, image, a), b)
            match = [k for k in range(8) if apply_symmetry(condition, image, k)[1].tobytes() == responses.tobytes()]
            assert len(match) == 1
            assert apply_symmetry(condition, image, match[0])[0].tobytes() == conditions.tobytes()


@settings(max_examples=20)
@given(st.lists(st.integers(0, 7), min_size=40, max_size=40))
def test_each_row_may_have_its_own(symmetries: list[int]) -> None:
    conditions, responses = apply_symmetry(CONDITIONS, RESPONSES, np.array(symmetries))
    for row, symmetry in enumerate(symmetries):
        alone = apply_symmetry(CONDITIONS[row : row + 1], RESPONSES[row : row + 1], symmetry)
        assert conditions[row].tobytes() == alone[0].tobytes()
        assert responses[row].tobytes() == alone[1].tobytes()


def test_the_input_is_left_alone() -> None:
    before = CONDITIONS.copy(), RESPONSES.copy()
    conditions, responses = apply_symmetry(CONDITIONS, RESPONSES, 0)
    conditions[:], responses[:] = 0, 0
    apply_symmetry(CONDITIONS, RESPONSES, np.arange(40) % 8)
    assert before[0].tobytes() == CONDITIONS.tobytes()
    assert before[1].tobytes() == RESPONSES.tobytes()


def test_a_mirror_swaps_even_and_odd_fibres() -> None:
    sums = ZN.channel_sums(RESPONSES).astype(int)
    turned = ZN.channel_sums(apply_symmetry(CONDITIONS, RESPONSES, 1)[1]).astype(int)
    assert turned[:, 4].tolist() == sums[:, :4].sum(axis=1).tolist()


@pytest.mark.parametrize("symmetry", [8, -1, np.array([0] * 39 + [8])])
def test_other_numbers_are_refused(symmetry: int) -> None:
    with pytest.raises(InvalidInputError, match=r"they must be in 0 \.\. 7"):
        apply_symmetry(CONDITIONS, RESPONSES, symmetry)


def test_what_is_not_square_has_mirrors_only() -> None:
    strips = RESPONSES[:, :, :30]
    assert apply_symmetry(CONDITIONS, strips, 3)[1].tolist() == strips[:, ::-1, ::-1].tolist()
    with pytest.raises(InvalidInputError, match=r"responses of \(44, 30\) cannot be transposed; use mirrors"):
        apply_symmetry(CONDITIONS, strips, TRANSPOSE)


def test_a_rectangle_has_four_symmetries_about_its_centre() -> None:
    assert [len(symmetries_of(each)) for each in (ZN, ZP, BOARD)] == [8, 4, 4]
    stretched = ZN.model_copy(update={"half_width": (3.52, 3.6)})
    assert len(symmetries_of(stretched)) == 4
    for symmetry in symmetries_of(BOARD):
        turned = turn_conditions(CONDITIONS, symmetry, BOARD.centre)
        points = turn_points(BOARD.impact_points(CONDITIONS), symmetry)
        np.testing.assert_allclose(BOARD.impact_points(turned), points, rtol=0, atol=1e-4)  # float32 at 10 cm


def test_permutation_test_is_fair_and_sees_a_shift() -> None:
    rng = np.random.default_rng(1)
    classes = np.arange(300) % 3
    p_values, shifted = [], []
    for _ in range(60):
        label = rng.random(300) < 0.5
        values = rng.normal(size=(300, 4)) + classes[:, None]
        p_values.append(permutation_test(values, label, classes, 99, rng)[0])
        values[label, 2] += 0.8
        p_value, largest, column = permutation_test(values, label, classes, 99, rng)
        shifted.append(p_value)
        assert column == 2
        assert largest > 3
    assert max(shifted) <= 0.02
    assert 0.3 < np.mean(p_values) < 0.7
    assert np.mean(np.array(p_values) <= 0.1) < 0.25


def test_permutation_test_sees_a_change_of_spread() -> None:
    rng = np.random.default_rng(2)
    label = np.arange(600) % 2 == 0
    values = rng.normal(size=(600, 3))
    values[label, 1] *= 2
    p_value, _, column = permutation_test(values, label, np.zeros(600, dtype=np.intp), 199, rng)
    assert p_value == 0.005
    assert column == 3 + 1


def test_classes_do_not_change_under_a_symmetry() -> None:
    turned = apply_symmetry(CONDITIONS, RESPONSES, 6)
    again = toy_showers(40)
    again.particles.conditions[:] = turned[0]
    assert invariant_classes(again).tolist() == invariant_classes(SHOWERS).tolist()


def test_observables_have_one_value_a_shower() -> None:
    found = observables(CONDITIONS, RESPONSES, ZN)
    assert {len(values) for values in found.values()} == {40}
    assert list(found)[-5:] == [f"share of {name}" for name in ZN.channel_names]


@pytest.mark.slow
@pytest.mark.slow
def test_the_shipped_showers_have_the_symmetries() -> None:
    tests = check_symmetries(DATA / "zn_geant4_train.h5", permutations=200)
    assert [test.name for test in tests if test.holds] == list(NAMES[1:])
    assert min(test.p_value for test in tests if test.holds) > 0.01
    assert [test.p_value for test in tests if not test.holds] == [pytest.approx(1 / 201)] * 3
    assert format_tests(tests).count("\n") == 11


def test_repeated_particles_are_refused(tmp_path: Path) -> None:
    path = write_showers(tmp_path / "a.h5", toy_showers(5, 2))
    with pytest.raises(InvalidInputError, match="particles are simulated repeatedly; use a file with one shower"):
        check_symmetries(path)
