"""A statistical test that showers have the symmetries of the face (`train-zdc check-symmetries`).

If the response and the population of particles are symmetric, a transformed shower (image, momentum and vertex) has the
same distribution as an original one. So a random half of the showers is transformed, and a permutation test compares
the two halves. The showers are divided into classes of species, energy and distance of the impact point from the axis,
which no symmetry changes. Each observable is replaced by its rank in the class, and labels are permuted only within
classes. For each observable, the location (mean rank) and the spread (mean distance of the rank from the middle) of the
halves are compared. The test statistic is the largest of these differences in units of its standard deviation; this
controls the error rate of the whole family of observables. Wrong transformations show that the test can fail.

References
----------
Westfall and Young, "Resampling-based multiple testing", Wiley, 1993.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import InvalidInputError
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import ENERGY
from zdc_detector.showers import Showers, read_showers
from zdc_detector.symmetries import MIRROR_X, NAMES, TRANSPOSE, symmetries_of, turn_conditions, turn_responses
from zdc_metrics.scores.classifier import FEATURES, shower_features

PERMUTATIONS = 2000
_PERMUTED_AT_ONCE = 100
_ENERGY_CLASSES, _RADIUS_CLASSES = 5, 4
_SHAPES = (
    "photon_sum",
    "centroid_x_minus_impact",
    "centroid_y_minus_impact",
    "width_x",
    "width_y",
    "lit_fibres",
    "brightest_1",
)


@dataclass(frozen=True)
class SymmetryTest:
    """The test of one symmetry, or of one wrong transformation.

    Attributes
    ----------
    name : Name of the transformation.
    holds : Whether it is a symmetry, so that a large p-value is expected.
    p_value : p-value of the largest difference of all observables.
    largest : This difference in standard deviations.
    observable : Observable with this difference.
    """

    name: str
    holds: bool
    p_value: float
    largest: float
    observable: str


def check_symmetries(path: Path, seed: int = 0, permutations: int = PERMUTATIONS) -> list[SymmetryTest]:
    """Test the symmetries of the face, and some wrong transformations, with a file with one shower per particle.

    Raises
    ------
    FileFormatError : the file cannot be read.
    InvalidInputError : particles are repeated, so that showers are not independent.
    """
    showers = read_showers(path)
    if len(np.unique(showers.particle_id)) != len(showers):
        raise InvalidInputError(f"{path}: particles are simulated repeatedly; use a file with one shower per particle")
    tests, calorimeter = [], showers.calorimeter
    symmetries = symmetries_of(calorimeter)
    for symmetry in symmetries[1:]:
        conditions = turn_conditions(showers.particles.conditions, symmetry, calorimeter.centre)
        tests.append((NAMES[symmetry], True, (conditions, turn_responses(showers.responses, symmetry))))
    conditions = turn_conditions(showers.particles.conditions, MIRROR_X, calorimeter.centre)
    image = turn_responses(showers.responses, MIRROR_X)
    tests.append(("wrong: mirror x of the particle alone", False, (conditions, showers.responses)))
    tests.append(("wrong: mirror x, image one fibre off", False, (conditions, np.roll(image, 1, axis=1))))
    if TRANSPOSE in symmetries:
        alone = turn_responses(showers.responses, TRANSPOSE)
        tests.append(("wrong: transpose of the image alone", False, (showers.particles.conditions, alone)))
    rng = np.random.default_rng(seed)
    classes = invariant_classes(showers)
    untouched = observables(showers.particles.conditions, showers.responses, calorimeter)
    names = list(untouched)
    found = []
    for name, holds, turned in tests:
        label = _halves(classes, rng)
        other = observables(*turned, calorimeter)
        values = np.column_stack([np.where(label, other[key], untouched[key]) for key in names])
        p_value, largest, which = permutation_test(values, label, classes, permutations, rng)
        kind = "spread" if which >= len(names) else "location"
        found.append(SymmetryTest(name, holds, p_value, largest, f"{kind} of {names[which % len(names)]}"))
    return found


def format_tests(tests: list[SymmetryTest]) -> str:
    """A Markdown table of the tests."""
    lines = [
        "| symmetry | p-value | largest difference [sd] | in |",
        "| --- | --- | --- | --- |",
        *(f"| {t.name} | {t.p_value:.4f} | {t.largest:.2f} | {t.observable} |" for t in tests),
    ]
    return "\n".join(lines)


def observables(
    conditions: NDArray[np.float32], responses: NDArray[np.generic], calorimeter: Calorimeter
) -> dict[str, NDArray[np.float64]]:
    """Observables of each shower by name, shape (N,): light, shape, and share of the light in each channel."""
    features = shower_features(responses, conditions, calorimeter)
    found = {name: features[:, FEATURES.index(name)].astype(np.float64) for name in _SHAPES}
    channels = calorimeter.channel_sums(responses).astype(np.float64)
    with np.errstate(invalid="ignore"):
        shares = channels / channels.sum(axis=1, keepdims=True)
    return found | {f"share of {name}": shares[:, i] for i, name in enumerate(calorimeter.channel_names)}


def invariant_classes(showers: Showers) -> NDArray[np.intp]:
    """Number of each shower's class of species, energy and distance of the impact from the axis, shape (N,)."""
    radius = np.hypot(*showers.calorimeter.impact_points(showers.particles.conditions).T)
    energy = showers.particles.conditions[:, ENERGY]
    labels = [np.unique(showers.particles.pdg, return_inverse=True)[1]]
    for values, count in ((energy, _ENERGY_CLASSES), (radius, _RADIUS_CLASSES)):
        labels.append(np.searchsorted(np.quantile(values, np.arange(1, count) / count), values))
    return np.ravel(np.unique(np.column_stack(labels), axis=0, return_inverse=True)[1])


def permutation_test(
    values: NDArray[np.float64],
    label: NDArray[np.bool_],
    classes: NDArray[np.intp],
    permutations: int,
    rng: np.random.Generator,
) -> tuple[float, float, int]:
    """Compare two halves of N rows in K observables.

    Parameters
    ----------
    values : Shape (N, K); NaN has the middle rank of its class.
    label, classes : Half and class of each row, shape (N,).

    Returns
    -------
    p-value of the largest difference, that difference in standard deviations, and its column: k for the location and
    K + k for the spread of observable k.
    """
    rank = _class_ranks(values, classes)
    scores = np.hstack([rank, np.abs(rank) - 0.25])
    sums = [label @ scores]
    for start in range(0, permutations, _PERMUTED_AT_ONCE):
        drawn = [_halves(classes, rng) for _ in range(min(_PERMUTED_AT_ONCE, permutations - start))]
        sums.extend(np.array(drawn, dtype=np.float64) @ scores)
    table = np.array(sums)
    deviation = np.abs(table - table[1:].mean(axis=0)) / np.maximum(table[1:].std(axis=0), 1e-12)
    largest = deviation.max(axis=1)
    p_value = (1 + np.count_nonzero(largest[1:] >= largest[0])) / (1 + permutations)
    return float(p_value), float(largest[0]), int(deviation[0].argmax())


def _class_ranks(values: NDArray[np.float64], classes: NDArray[np.intp]) -> NDArray[np.float64]:
    """Ranks in each class, from -1/2 to 1/2; equal values have the mean of their ranks, NaN has 0."""
    ranks = np.zeros_like(values)
    for number in np.unique(classes):
        rows = np.flatnonzero(classes == number)
        for k in range(values.shape[1]):
            given = rows[np.isfinite(values[rows, k])]
            _, place, counts = np.unique(values[given, k], return_inverse=True, return_counts=True)
            middle = np.cumsum(counts) - 0.5 * counts
            ranks[given, k] = middle[np.ravel(place)] / max(len(given), 1) - 0.5
    return ranks


def _halves(classes: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.bool_]:
    """A random half of each class; in a class with an odd number of rows, either half may be larger."""
    order = np.argsort(classes + rng.random(len(classes)))  # by class, and at random in each
    label = np.empty(len(classes), dtype=np.bool_)
    starts = np.flatnonzero(np.diff(classes[order], prepend=-1))
    position = np.arange(len(classes)) - np.repeat(starts, np.diff(np.append(starts, len(classes))))
    flip = np.repeat(rng.integers(0, 2, len(starts)), np.diff(np.append(starts, len(classes))))
    label[order] = (position + flip) % 2 == 0
    return label
