import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier
from zdc_metrics.scores.classifier import FEATURES, auc
from zdc_metrics.scores.networks import Networks
from zdc_metrics.scores.neural import PARTS, NeuralScores, NeuralSeparation
from zdc_metrics.statistics.bootstrap import draw_particles

Features = NDArray[np.float64]


def normals(particles: int, seed: int, shift: float = 0.0) -> Features:
    sample: Features = np.random.default_rng(seed).normal(size=(particles, 2, 3))
    sample[..., 0] += shift
    return sample


def area(found: NeuralScores) -> float:
    particles = len(found.information)
    return float(auc(found.scores, np.arange(particles), np.empty((0, particles), dtype=np.intp))[0])


def test_equal_samples_are_not_told_apart() -> None:
    found = NeuralScores(normals(300, 1), normals(300, 2), seed=0)
    assert area(found) == pytest.approx(0.5, abs=0.06)
    assert -0.1 < found.information.mean() < 0.02


def test_calibrated_probabilities_give_the_divergence_of_two_gaussians() -> None:
    """Their Jensen-Shannon divergence by integration; AUC = Phi(shift / sqrt 2)."""
    x = np.linspace(-8, 10, 4001)
    p, q = (np.exp(-0.5 * (x - mean) ** 2) / np.sqrt(2 * np.pi) for mean in (0, 2))
    expected = 0.5 * np.sum(p * np.log2(2 * p / (p + q)) + q * np.log2(2 * q / (p + q))) * (x[1] - x[0])
    found = NeuralScores(normals(500, 1), normals(500, 2, shift=2), seed=0)
    assert found.information.mean() == pytest.approx(expected, abs=0.06)
    assert area(found) == pytest.approx(0.921, abs=0.025)


def test_disjoint_samples_have_divergence_one() -> None:
    found = NeuralScores(normals(100, 1), normals(100, 2, shift=30), seed=0)
    assert area(found) == 1
    assert found.information.mean() > 0.93  # as many showers as there are say no more


def test_scores_are_held_out_by_particle_and_seeded() -> None:
    """All showers of a particle have its number as feature: only a leak could separate the samples."""
    number = np.random.default_rng(3).normal(size=(100, 1, 6)) * 3
    first, second = (normals(100, seed) for seed in (1, 2))
    pair = [np.concatenate([side, np.repeat(number, 2, axis=1)], axis=2) for side in (first, second)]
    found = NeuralScores(pair[0], pair[1], seed=1)
    assert np.unique(found.scores.fold, return_counts=True)[1].tolist() == [100 // PARTS] * PARTS
    assert area(found) == pytest.approx(0.5, abs=0.1)
    again = NeuralScores(pair[0], pair[1], seed=1)
    assert again.scores.first.tobytes() == found.scores.first.tobytes()
    assert again.information.tobytes() == found.information.tobytes()


def test_figures_of_a_brighter_generator_beside_their_floor() -> None:
    rng = np.random.default_rng(5)
    simulated, generated = (rng.gamma(4, 1, (120, n, len(FEATURES))).astype(np.float32) for n in (4, 6))
    simulated[..., -9:] = simulated[:, :1, -9:]
    generated[..., 0] *= 3
    found = NeuralSeparation(simulated, generated, [((0, 1), (2, 5))], [((0, 1), (2, 3))], seed=0)
    group = np.arange(0, 120, 2)
    figures = found.resampled(group, draw_particles(len(group), 30, rng))
    assert figures["neural_auc"].value > 0.8 > 0.65 > figures["neural_auc"].floor
    assert figures["neural_jsd"].value > 0.2 > 0.1 > figures["neural_jsd"].floor
    assert len(figures["neural_jsd"].values) == 30


@pytest.mark.parametrize("rows", [40, 150])  # less than a batch; two batches and a part of one
def test_networks_are_those_of_scikit_learn(rows: int) -> None:
    samples = np.random.default_rng(6).normal(size=(2, rows, 5))
    labels = np.tile([0, 1], rows // 2)
    networks = Networks(samples, labels, seed=4)
    references = [
        MLPClassifier((64, 64), batch_size=min(64, rows), learning_rate_init=1e-3, alpha=1e-3, random_state=4)
        for _ in samples
    ]
    for _ in range(5):
        networks.train()
        for reference, sample in zip(references, samples, strict=True):
            reference.partial_fit(sample, labels, classes=[0, 1])
    for weights, reference, sample in zip(networks.weights, references, samples, strict=True):
        # Sums of floats in another order differ by some 1e-15, which 15 steps may enlarge.
        expected = reference.predict_proba(sample)[:, 1]
        assert networks.probability(sample, weights) == pytest.approx(expected, abs=1e-9)


def test_very_few_particles_are_left_undecided() -> None:
    found = NeuralScores(normals(2, 1), normals(2, 2), seed=0)
    assert np.isnan(area(found))  # 0.5 would keep any bound
    assert np.isnan(found.information).all()
    few = NeuralScores(normals(6, 1), normals(6, 2), seed=0)  # fewer showers than a batch
    assert np.isfinite(few.information).all()
