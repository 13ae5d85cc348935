import numpy as np
import pytest
from helpers.calorimeters import ZN
from helpers.files.shower_samples import draw_responses, face_particles
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from zdc_metrics.scores.classifier import (
    FEATURES,
    FOLDS,
    HeldOutScores,
    auc,
    fibre_positions,
    held_out_scores,
    shower_features,
)


def feature(table: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    column: NDArray[np.float32] = table[:, FEATURES.index(name)]
    return column


def test_features_of_known_responses() -> None:
    particles = face_particles(2)
    responses = np.zeros((2, 44, 44), dtype=np.uint16)
    responses[0, 10, 20], responses[0, 12, 20], responses[0, 10, 24] = 6, 2, 1
    table = shower_features(responses, particles.conditions, ZN)
    assert table.shape == (2, len(FEATURES))
    x, y = fibre_positions(ZN, 0), fibre_positions(ZN, 1)
    assert (x[0], x[21], x[43]) == pytest.approx((-3.44, -0.08, 3.44))
    impact = ZN.impact_points(particles.conditions)[0]
    centre = (7 * x[10] + 2 * x[12]) / 9, (8 * y[20] + y[24]) / 9
    width = np.sqrt((7 * (x[10] - centre[0]) ** 2 + 2 * (x[12] - centre[0]) ** 2) / 9)
    assert feature(table, "photon_sum").tolist() == [9, 0]
    assert feature(table, "sum_over_energy")[0] == pytest.approx(9 / particles.conditions[0, 0])
    assert feature(table, "centroid_x_minus_impact")[0] == pytest.approx(centre[0] - impact[0], abs=1e-5)
    assert feature(table, "centroid_y_minus_impact")[0] == pytest.approx(centre[1] - impact[1], abs=1e-5)
    assert feature(table, "width_x")[0] == pytest.approx(width, abs=1e-4)
    assert feature(table, "lit_fibres").tolist() == [3, 0]
    assert feature(table, "single_photons").tolist() == [1, 0]
    assert [feature(table, f"brightest_{k}")[0] for k in (1, 2, 3, 4)] == [6, 2, 1, 0]
    assert np.isnan(feature(table, "centroid_x_minus_impact")[1])
    assert table[:, -9:].tolist() == particles.conditions.tolist()


def naive_auc(scores: HeldOutScores, particles: list[int]) -> float:
    wins = pairs = 0.0
    for p in particles:
        for q in particles:
            if scores.fold[p] == scores.fold[q]:
                for low in scores.first[p]:
                    for high in scores.second[q]:
                        wins += 1.0 if high > low else 0.5 if high == low else 0.0
                        pairs += 1
    return wins / pairs


def test_auc_counts_pairs_within_a_fold() -> None:
    rng = np.random.default_rng(1)
    fold = np.arange(15) % 3
    scores = HeldOutScores(rng.integers(0, 6, (15, 2)) / 6, rng.integers(1, 7, (15, 2)) / 6, fold)
    group = np.array([0, 1, 2, 3, 6, 7, 11])
    draws = rng.integers(0, 7, (5, 7))
    found = auc(scores, group, draws)
    assert found[0] == pytest.approx(naive_auc(scores, group.tolist()))
    for k, rows in enumerate(draws):
        assert found[1 + k] == pytest.approx(naive_auc(scores, group[rows].tolist()))


def test_auc_of_one_fold_is_sklearn_s() -> None:
    rng = np.random.default_rng(2)
    scores = HeldOutScores(rng.random((20, 3)), rng.random((20, 3)) + 0.2, np.zeros(20, dtype=np.intp))
    labels = np.repeat([0, 1], 60)
    expected = roc_auc_score(labels, np.concatenate([scores.first.ravel(), scores.second.ravel()]))
    assert auc(scores, np.arange(20), np.empty((0, 20), dtype=np.intp))[0] == pytest.approx(expected)


def test_scores_are_held_out_by_particle() -> None:
    """The feature is the particle's number, and the label is noise: only a leak could separate the samples."""
    rng = np.random.default_rng(3)
    number = np.repeat(np.arange(100.0), 2).reshape(100, 2, 1)
    first, second = (np.concatenate([number, rng.normal(size=(100, 2, 3))], axis=2) for _ in range(2))
    scores = held_out_scores(first.astype(np.float32), second.astype(np.float32), seed=1)
    assert np.unique(scores.fold, return_counts=True)[1].tolist() == [100 // FOLDS] * FOLDS
    assert auc(scores, np.arange(100), np.empty((0, 100), dtype=np.intp))[0] == pytest.approx(0.5, abs=0.1)
    again = held_out_scores(first.astype(np.float32), second.astype(np.float32), seed=1)
    assert again.first.tobytes() == scores.first.tobytes()


@pytest.mark.parametrize(("particles", "decided"), [(1, False), (11, False), (12, True)])
def test_too_few_showers_to_learn_from_are_left_undecided(particles: int, decided: bool) -> None:
    first = np.random.default_rng(0).normal(0, 1, (particles, 2, 3)).astype(np.float32)
    everyone = np.arange(particles)
    found = auc(held_out_scores(first, first + 9, seed=0), everyone, everyone[None])
    assert np.isfinite(found).all() == decided  # 0.5 would keep any bound


def test_brighter_responses_are_told_apart() -> None:
    particles = face_particles(80)
    tables = []
    for seed, light in ((1, 1.0), (2, 1.5)):
        responses = draw_responses(particles, 2, seed, light).reshape(-1, 44, 44)
        table = shower_features(responses, np.repeat(particles.conditions, 2, axis=0), ZN)
        tables.append(table.reshape(80, 2, -1))
    scores = held_out_scores(tables[0], tables[1], seed=0)
    assert auc(scores, np.arange(80), np.empty((0, 80), dtype=np.intp))[0] > 0.65
