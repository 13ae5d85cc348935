"""Two simulations against two others: the ways of choosing them.

A way is a pair of tuples of repeat numbers, `SAMPLE` on either side. Where there are more ways than
`MAXIMUM_WAYS`, that many are drawn.
"""

from itertools import combinations

import numpy as np
from zdc_detector.errors import InvalidInputError

#: Repeats on either side of a comparison; the figures depend on it, so it never varies.
SAMPLE = 2
MAXIMUM_WAYS = 100

Way = tuple[tuple[int, ...], tuple[int, ...]]


def floor_ways(simulated: int, rng: np.random.Generator, most: int = MAXIMUM_WAYS) -> list[Way]:
    """Unordered splits of `simulated` repeats into two against two others.

    Raises
    ------
    InvalidInputError : fewer than four repeats.
    """
    if simulated < 2 * SAMPLE:
        raise InvalidInputError(
            f"{simulated} simulations of each particle; the floor needs at least {2 * SAMPLE}, two against two"
        )
    if simulated > 8:  # C(9, 2) C(7, 2) / 2 = 378 ways: draw instead of listing
        drawn = [rng.permutation(simulated)[: 2 * SAMPLE].tolist() for _ in range(most)]
        return [(tuple(four[:SAMPLE]), tuple(four[SAMPLE:])) for four in drawn]
    pairs = list(combinations(range(simulated), SAMPLE))
    ways = [(a, b) for a, b in combinations(pairs, 2) if not set(a) & set(b)]
    return [ways[i] for i in _at_most(len(ways), most, rng)]


def model_ways(simulated: int, generated: int, rng: np.random.Generator, most: int = MAXIMUM_WAYS) -> list[Way]:
    """Choices of two simulated and two generated repeats.

    Raises
    ------
    InvalidInputError : fewer than two repeats on a side.
    """
    for name, repeats in (("simulated", simulated), ("generated", generated)):
        if repeats < SAMPLE:
            raise InvalidInputError(f"{repeats} {name} responses of each particle; at least {SAMPLE} are needed")
    left, right = (list(combinations(range(n), SAMPLE)) for n in (simulated, generated))
    return [(left[i // len(right)], right[i % len(right)]) for i in _at_most(len(left) * len(right), most, rng)]


def _at_most(ways: int, most: int, rng: np.random.Generator) -> list[int]:
    """Numbers of the ways to take: all, or `most` of them."""
    if ways <= most:
        return list(range(ways))
    drawn: list[int] = np.sort(rng.choice(ways, size=most, replace=False)).tolist()
    return drawn
