"""Ways to choose the repeats of a comparison, two simulations against two others.

A way is a pair of tuples of repeat numbers, `sample_size` on each side. At most `MAXIMUM_WAYS` are used; if there are
more, they are drawn.
"""

from itertools import combinations

import numpy as np
from zdc_common.errors import InvalidInputError

#: Repeats on each side of a comparison, see `sample_size`.
SAMPLE = 2
MAXIMUM_WAYS = 100

Way = tuple[tuple[int, ...], tuple[int, ...]]


def sample_size(simulated: int) -> int:
    """Repeats on each side: `SAMPLE`, or one if there are fewer than 2 `SAMPLE` simulations; figures depend on it."""
    return SAMPLE if simulated >= 2 * SAMPLE else 1


def floor_ways(simulated: int, rng: np.random.Generator, most: int = MAXIMUM_WAYS) -> list[Way]:
    """Unordered splits of `simulated` repeats, two against two others; with fewer than four, one against one.

    There are no splits, and no floor, for a single simulation.
    """
    size = sample_size(simulated)
    if simulated > 8:  # C(9, 2) C(7, 2) / 2 = 378 ways: draw instead of listing
        drawn = [rng.permutation(simulated)[: 2 * SAMPLE].tolist() for _ in range(most)]
        return [(tuple(four[:SAMPLE]), tuple(four[SAMPLE:])) for four in drawn]
    pairs = list(combinations(range(simulated), size))
    ways = [(a, b) for a, b in combinations(pairs, 2) if not set(a) & set(b)]
    return [ways[i] for i in _at_most(len(ways), most, rng)]


def model_ways(simulated: int, generated: int, rng: np.random.Generator, most: int = MAXIMUM_WAYS) -> list[Way]:
    """Choices of `sample_size` simulated and `sample_size` generated repeats.

    Raises
    ------
    InvalidInputError : fewer than two generated repeats.
    """
    if generated < SAMPLE:
        raise InvalidInputError(f"{generated} generated responses of each particle; at least {SAMPLE} are needed")
    left, right = (list(combinations(range(n), sample_size(simulated))) for n in (simulated, generated))
    return [(left[i // len(right)], right[i % len(right)]) for i in _at_most(len(left) * len(right), most, rng)]


def _at_most(ways: int, most: int, rng: np.random.Generator) -> list[int]:
    """Numbers of the ways to use: all, or `most` of them."""
    if ways <= most:
        return list(range(ways))
    drawn: list[int] = np.sort(rng.choice(ways, size=most, replace=False)).tolist()
    return drawn
