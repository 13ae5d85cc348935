"""Counter-based random numbers: the numbers of a row depend only on (seed, stream, row).

Words come from ``numpy.random.Philox.random_raw``. NumPy guarantees that this bit stream never changes; for the methods
of ``numpy.random.Generator`` there is no such guarantee. The key is (seed, stream). Each row has a fixed number of
counter steps, so that a block of rows is one vectorised draw, and results do not depend on batches, chunks or
partitions. Philox: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

The following transforms are part of the public contract:

- uniform in (0, 1): ``(w32 + 0.5) / 2**32`` for the two 32-bit halves of a word, low half first;
- normal: Box-Muller on two uniforms of 53 bits, ``1 - (w >> 11) / 2**53`` for the radius;
- Poisson: by inversion, the smallest k whose cumulative probability reaches a uniform. The sums are float64. For rates
  up to 128 they start at k = 0 and are exact to rounding; for larger rates they start 9 standard deviations below the
  rate (lost probability < 1e-18). Fibres are grouped in blocks of eight. If the sum of the rates of a block is at most
  1, the number of its photons is drawn from this sum, and then the fibre of each photon with probabilities
  proportional to the rates. In a brighter block each fibre has its own uniform. Both ways give independent Poisson
  counts. Most blocks are dark, and a dark block needs one uniform instead of eight. The counters of a row are: one for
  every eight blocks, whose 32-bit halves are the uniforms of the blocks; then one for each block, whose halves are the
  uniforms of its photons or fibres. From the ninth photon of a block on, the second word of this counter is 1, 2, ...

Normals and counts are computed by compiled code (`zdc_detector.kernels`), from the same words as numpy's.
"""

import math
import os

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import InvalidInputError, ModelError

#: Streams of a seed. A new purpose gets a new number; numbers are never reused.
NOISE_STREAM = 1
FINISH_STREAM = 2
SPLIT_STREAM = 3
TEST_STREAM = 4
SPECTRUM_STREAM = 5
GEANT4_STREAM = 6

MAX_SEED = 2**53  # exclusive: the largest range that JSON numbers carry exactly
MAX_ROW = 2**63

#: Bound of standard normal numbers. Larger ones have a probability of 1 / 6e22; ours, from 53 bits, end at 8.6.
LARGEST_NORMAL = 10.0

_WORDS_PER_COUNTER = 4
_FRESH_SEEDS = 256


_fresh_seeds: list[int] = []
if hasattr(os, "register_at_fork"):  # otherwise parent and child would draw the same seeds
    os.register_at_fork(after_in_child=_fresh_seeds.clear)


def fresh_seed() -> int:
    """A seed from the operating system, for requests without a seed."""
    while True:
        try:
            return _fresh_seeds.pop()
        except IndexError:  # a system call takes 15 us: draw many at once
            words = np.frombuffer(os.urandom(8 * _FRESH_SEEDS), dtype=np.uint64)
            _fresh_seeds.extend((words >> np.uint64(64 - 53)).tolist())


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
    """Standard normal numbers of a block of consecutive rows, float32, shape (rows, size)."""
    return normals_of(*block_keys(seed, first_row, rows), size, stream)


def normals_of(
    seeds: NDArray[np.uint64], rows: NDArray[np.uint64], size: int, stream: int = NOISE_STREAM
) -> NDArray[np.float32]:
    """Standard normal numbers of each (seed, row) by the Box-Muller transform, float32, shape (N, size)."""
    from zdc_detector.kernels import normal_rows

    drawn = np.empty((len(rows), size), dtype=np.float32)
    normal_rows(seeds, rows, np.uint64(stream), drawn)
    return drawn


def poisson_of(
    rates: NDArray[np.float32],
    seeds: NDArray[np.uint64],
    rows: NDArray[np.uint64],
    most: int,
    channel_of_fibre: NDArray[np.int32] | None = None,
    channels: int = 0,
) -> tuple[NDArray[np.uint16], NDArray[np.uint32]]:
    """Poisson counts of each fibre, and their sums.

    Parameters
    ----------
    rates : Expected photons, >= 0, float32, shape (N, ...); row n belongs to the n-th (seed, row).
    seeds, rows : uint64, shape (N,).
    most : Maximum count; larger counts are replaced by it.
    channel_of_fibre, channels : Channel of each fibre, -1 for none, shape (fibres,), and the number of channels.

    Returns
    -------
    Counts, uint16, shape of `rates`, and photons of each channel, uint32, shape (N, channels).

    Raises
    ------
    ModelError : a rate is not finite.
    """
    from zdc_detector.kernels import poisson_rows

    counts = np.zeros(rates.shape, dtype=np.uint16)
    sums = np.zeros((len(rates), channels), dtype=np.uint32)
    flat = np.ascontiguousarray(rates).reshape(len(rates), math.prod(rates.shape[1:]))
    if channel_of_fibre is None:
        channel_of_fibre = np.full(flat.shape[1], -1, dtype=np.int32)
    stream = np.uint64(FINISH_STREAM)
    if not poisson_rows(flat, seeds, rows, stream, most, channel_of_fibre, counts.reshape(flat.shape), sums):
        raise ModelError("rates that are not finite")
    return counts, sums


def block_keys(seed: int, first_row: int, rows: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Seeds and rows of a block of consecutive rows, uint64, shape (rows,)."""
    return np.full(rows, seed, dtype=np.uint64), np.uint64(first_row) + np.arange(rows, dtype=np.uint64)
