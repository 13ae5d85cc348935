"""Counter-based random numbers: a row's numbers depend on (seed, stream, row) and on nothing else.

Words come from ``numpy.random.Philox.random_raw``, whose bit stream numpy guarantees never to change (the
methods of ``numpy.random.Generator`` carry no such promise). The key is (seed, stream); each row owns a fixed
number of counter steps, so a block of rows is one vectorised draw and a result cannot depend on batches,
chunks or partitions. Philox: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

The transforms below are ours, and part of the public contract:

- uniform in (0, 1): ``(w32 + 0.5) / 2**32`` for the two 32-bit halves of a word, low half first;
- normal: Box-Muller on two uniforms of 53 bits, ``1 - (w >> 11) / 2**53`` for the radius;
- Poisson: the smallest k whose cumulative probability reaches the uniform, one uniform a fibre.
"""

import secrets

import numpy as np
from numpy.typing import NDArray

from zdc_detector.errors import InvalidInputError

#: Streams under one seed. A new use takes a new number; numbers are never reused.
NOISE_STREAM = 1
FINISH_STREAM = 2
SPLIT_STREAM = 3

MAX_SEED = 2**53  # exclusive: the largest range that JSON numbers carry exactly
MAX_ROW = 2**63

_WORDS_PER_COUNTER = 4
_FIRST_BLOCK, _LAST_BLOCK = 4, 64  # terms of the cumulative sum per vectorised step: most fibres need few
_LARGE_RATE = 128.0  # above this, the sum starts below the bulk instead of at 0
_LOG_SQRT_2PI = 0.9189385332046727


def fresh_seed() -> int:
    """A seed from the operating system, for requests that bring none."""
    return secrets.randbelow(MAX_SEED)


def check_seed(seed: int, first_row: int = 0) -> None:
    """Raise InvalidInputError unless 0 <= seed < 2**53 and 0 <= first_row < 2**63."""
    if not 0 <= seed < MAX_SEED:
        raise InvalidInputError(f"seed = {seed} must be in [0, 2^53)")
    if not 0 <= first_row < MAX_ROW:
        raise InvalidInputError(f"first_row = {first_row} must be in [0, 2^63)")


def raw_words(seed: int, stream: int, first_row: int, rows: int, words: int) -> NDArray[np.uint64]:
    """Random 64-bit words for a block of consecutive rows.

    Parameters
    ----------
    seed, stream : The Philox key.
    first_row : Number of the block's first row.
    rows : Rows in the block.
    words : Words per row.

    Returns
    -------
    uint64, shape (rows, words).
    """
    steps = -(-words // _WORDS_PER_COUNTER)
    bits = np.random.Philox(key=np.array([seed, stream], dtype=np.uint64), counter=first_row * steps)
    drawn: NDArray[np.uint64] = bits.random_raw(rows * steps * _WORDS_PER_COUNTER)
    return drawn.reshape(rows, steps * _WORDS_PER_COUNTER)[:, :words]


def normals(seed: int, first_row: int, rows: int, size: int, stream: int = NOISE_STREAM) -> NDArray[np.float32]:
    """Standard normal numbers by the Box-Muller transform, float32, shape (rows, size)."""
    pairs = -(-size // 2)
    words = raw_words(seed, stream, first_row, rows, 2 * pairs)
    uniform = np.ascontiguousarray(words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    radius = np.sqrt(-2.0 * np.log(1.0 - uniform[:, :pairs]))
    angle = 2.0 * np.pi * uniform[:, pairs:]
    both = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return np.ascontiguousarray(both[:, :size], dtype=np.float32)


def uniforms(seed: int, first_row: int, rows: int, size: int, stream: int = FINISH_STREAM) -> NDArray[np.float64]:
    """Uniform numbers in (0, 1) with 32 bits each, float64, shape (rows, size)."""
    words = raw_words(seed, stream, first_row, rows, -(-size // 2))
    halves = np.ascontiguousarray(words).astype("<u8", copy=False).view("<u4")[:, :size]
    return (halves + 0.5) * 2.0**-32


def poisson(rates: NDArray[np.floating], uniform: NDArray[np.float64]) -> NDArray[np.uint32]:
    """Poisson counts by inversion: the smallest k with P(K <= k) >= uniform.

    Parameters
    ----------
    rates : Expected photons, >= 0, any shape.
    uniform : Numbers in (0, 1), same shape.

    Returns
    -------
    uint32, same shape. The cumulative sums are float64; below rates of 128 they start at 0 and are exact to
    rounding, above they start 9 standard deviations under the rate (lost probability < 1e-18).
    """
    rate = np.ravel(rates)
    u = np.ravel(uniform)
    counts = np.zeros(rate.size, dtype=np.uint32)
    # Nearly all fibres of a response are dark. As exp(-rate) >= 1 - rate, they need no exponential to stay at 0.
    active = np.flatnonzero(u > 1.0 - rate.astype(np.float64))
    lam = rate[active].astype(np.float64)
    k = np.zeros(lam.size)
    term = np.exp(-lam)
    large = lam > _LARGE_RATE
    if large.any():
        start = np.floor(lam[large] - 9.0 * np.sqrt(lam[large]))
        k[large] = start
        term[large] = np.exp(start * np.log(lam[large]) - lam[large] - _log_factorial(start))
    cumulative = term.copy()
    target = u[active]
    block = _FIRST_BLOCK
    while active.size:
        # Columns are k + 1 .. k + block ; a target beyond the last one goes to the next, larger block.
        steps = np.arange(1, block + 1, dtype=np.float64)
        terms = np.cumprod(lam[:, None] / (k[:, None] + steps), axis=1) * term[:, None]
        sums = np.cumsum(terms, axis=1) + cumulative[:, None]
        below = np.count_nonzero(sums < target[:, None], axis=1)
        first = cumulative >= target
        done = first | (below < block) | ((sums[:, -1] <= cumulative) & (k > lam))
        counts[active[done]] = (k + np.where(first, 0, below + 1))[done].astype(np.uint32)
        keep = ~done
        active, lam, target = active[keep], lam[keep], target[keep]
        k = k[keep] + block
        term, cumulative = terms[keep, -1], sums[keep, -1]
        block = min(4 * block, _LAST_BLOCK)
    return counts.reshape(np.shape(rates))


def _log_factorial(n: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(n!) by Stirling's series to x^-7; the first term left out is < 1e-16 for the n >= 26 used here."""
    x = n + 1.0
    inverse = 1.0 / (x * x)
    series: NDArray[np.float64] = (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse / 1680))) / x
    return (x - 0.5) * np.log(x) - x + _LOG_SQRT_2PI + series
