"""The random streams are part of the public contract: their words and transforms are frozen."""

import os
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from zdc_common.errors import InvalidInputError, ModelError
from zdc_detector.random import (
    FINISH_STREAM,
    MAX_ROW,
    MAX_SEED,
    NOISE_STREAM,
    block_keys,
    check_seed,
    fresh_seed,
    normals,
    poisson_of,
    raw_words,
)

MASK = 2**64 - 1


BLOCK = 8
"""Fibres that share a counter, and 32-bit numbers of one."""


def poisson(rates: NDArray[np.floating[Any]], seed: int, first_row: int) -> NDArray[np.uint16]:
    """Counts of rates of shape (rows, size)."""
    return poisson_of(rates.astype(np.float32), *block_keys(seed, first_row, len(rates)), 65535)[0]


def uniforms(seed: int, first_row: int, rows: int, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """From numpy's own words: the uniforms of blocks, shape (rows, blocks), and of fibres, (rows, size)."""
    blocks = size // BLOCK
    groups = -(-blocks // BLOCK)
    words = np.ascontiguousarray(raw_words(seed, FINISH_STREAM, first_row, rows, 4 * (groups + blocks)))
    numbers = (words.view("<u4") + 0.5) * 2.0**-32
    return numbers[:, :blocks], numbers[:, BLOCK * groups :]


def philox_block(counter: int, key: tuple[int, int]) -> list[int]:
    """Philox4x64-10 after Salmon et al., in Python integers."""
    c = [(counter >> (64 * i)) & MASK for i in range(4)]
    k0, k1 = key
    for _ in range(10):
        p0, p1 = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
        c = [(p1 >> 64) ^ c[1] ^ k0, p1 & MASK, (p0 >> 64) ^ c[3] ^ k1, p0 & MASK]
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & MASK, (k1 + 0xBB67AE8584CAA73B) & MASK
    return c


def test_reference_philox_gives_the_published_answer() -> None:
    """Known answer of Random123's ``kat_vectors`` for a counter and key of zeros."""
    expected = [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    assert philox_block(0, (0, 0)) == expected


@pytest.mark.parametrize(("seed", "stream", "row", "words"), [(0, 0, 0, 4), (7, 1, 5, 5), (MAX_SEED - 1, 2, 10**9, 9)])
def test_words_are_philox_of_seed_stream_and_row(seed: int, stream: int, row: int, words: int) -> None:
    steps = -(-words // 4)
    # numpy counts up before each block, so a row's first block has the counter row * steps + 1.
    expected = [w for i in range(steps) for w in philox_block(row * steps + i + 1, (seed, stream))]
    assert raw_words(seed, stream, row, 1, words)[0].tolist() == expected[:words]


def test_frozen_numbers() -> None:
    assert [hex(word) for word in raw_words(7, NOISE_STREAM, 5, 1, 5)[0, :3].tolist()] == [
        "0xb1b1e42a0010d707",
        "0x8331953e2da82ba5",
        "0x79783943d47c200f",
    ]
    np.testing.assert_allclose(
        normals(7, 5, 2, 3),
        [[1.110606074, -0.113263696, -0.209467620], [0.363446206, 0.230775148, 1.539809942]],
        rtol=1e-6,
    )
    assert poisson(np.full((1, 10), 3.0), 7, 5).tolist() == [[3, 4, 1, 3, 1, 1, 7, 2, 3, 3]]
    assert poisson(np.full((1, 80), 0.05), 7, 5).nonzero()[1].tolist() == [2, 8, 30, 69]


@given(
    seed=st.integers(0, MAX_SEED - 1),
    first=st.integers(0, MAX_ROW - 100),
    cut=st.integers(0, 12),
    size=st.integers(1, 11),
)
def test_a_row_does_not_depend_on_its_block(seed: int, first: int, cut: int, size: int) -> None:
    rates = np.full((12, size), 5.0)
    for draw in (lambda row, n: normals(seed, row, n, size), lambda row, n: poisson(rates[:n], seed, row)):
        whole = draw(first, 12)
        parts = [draw(first, cut), draw(first + cut, 12 - cut)]
        assert whole.tobytes() == np.concatenate(parts).tobytes()


def test_normals_are_box_muller_of_numpys_words() -> None:
    """The compiled loop draws numpy's words."""
    words = raw_words(7, NOISE_STREAM, 100, 50, 6)
    uniform = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    radius, angle = np.sqrt(-2 * np.log(1 - uniform[:, :3])), 2 * np.pi * uniform[:, 3:]
    expected = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    np.testing.assert_allclose(normals(7, 100, 50, 5), expected[:, :5], rtol=1e-6)  # rounded to float32


def test_streams_seeds_and_rows_differ() -> None:
    reference = raw_words(7, NOISE_STREAM, 3, 1, 8)
    for other in (raw_words(7, FINISH_STREAM, 3, 1, 8), raw_words(8, 1, 3, 1, 8), raw_words(7, 1, 4, 1, 8)):
        assert not np.intersect1d(reference, other).size


def test_normals_are_normal_and_independent() -> None:
    drawn = normals(11, 0, 20_000, 5)
    assert drawn.dtype == np.float32
    for column in drawn.T:
        assert stats.kstest(column, "norm").pvalue > 0.01
    # Box-Muller pairs columns k and k + 3; squares would show a common radius.
    assert np.abs(np.corrcoef(drawn.T) - np.eye(5)).max() < 4 / np.sqrt(20_000)
    assert np.abs(np.corrcoef((drawn**2).T) - np.eye(5)).max() < 4 / np.sqrt(20_000)


@pytest.mark.parametrize("rate", [0.126, 0.3, 1.0, 7.7, 50.0, 127.9, 128.0, 128.1, 200.0, 999.5, 6.0e4])
def test_fibres_of_bright_blocks_are_the_exact_inverse_of_the_cumulative_sum(rate: float) -> None:
    """Blocks of more than one photon: the smallest k with P(K <= k) >= u for the fibre's own uniform."""
    _, u = uniforms(3, 0, 10, 2000)
    counts = poisson(np.full(u.shape, rate), 3, 0).astype(np.int64)
    exact = float(np.float32(rate))
    # Up to the rounding of the sums (the uniforms are 2.3e-10 apart).
    assert np.all(stats.poisson.cdf(counts, exact) >= u - 1e-10)
    assert np.all(stats.poisson.cdf(counts - 1, exact) < u + 1e-10)


@pytest.mark.parametrize("rate", [0.0, 1e-12, 1e-4, 0.02, 0.125])
def test_sums_of_dim_blocks_are_the_exact_inverse_of_the_cumulative_sum(rate: float) -> None:
    """Blocks of at most one photon: their photons are drawn from the block's uniform."""
    u, _ = uniforms(3, 0, 50, 2000)
    sums = poisson(np.full((50, 2000), rate), 3, 0).astype(np.int64).reshape(50, -1, BLOCK).sum(axis=2)
    exact = BLOCK * float(np.float32(rate))
    assert np.all(stats.poisson.cdf(sums, exact) >= u - 1e-10)
    assert np.all(stats.poisson.cdf(sums - 1, exact) < u + 1e-10)


def test_photons_of_dim_blocks_go_to_fibres_by_their_rates() -> None:
    shares = np.array([0.3, 0.0, 0.2, 0.1, 0.0, 0.15, 0.05, 0.1])
    counts = poisson(np.tile(shares, (20_000, 5)), 5, 0).reshape(-1, BLOCK)
    assert not counts[:, shares == 0].any()
    lit = counts[:, shares > 0]
    # Poisson counts of their own: mean and variance are the rate, and no two fibres know of each other.
    error = np.sqrt(shares[shares > 0] / len(lit))
    assert np.abs(lit.mean(axis=0) - shares[shares > 0]).max() < 4 * error.max()
    covariance = np.cov(lit.T)
    assert np.abs(covariance - np.diag(shares[shares > 0])).max() < 4 * np.sqrt(2 * 0.3**2 + 0.3) / np.sqrt(len(lit))
    for column, rate in zip(lit.T, shares[shares > 0], strict=True):
        observed = np.bincount(np.minimum(column, 3), minlength=4)
        expected = len(column) * np.append(stats.poisson.pmf(np.arange(3), rate), stats.poisson.sf(2, rate))
        assert stats.chisquare(observed, expected).pvalue > 1e-3


def test_a_dim_block_of_more_photons_than_a_counter_has_numbers() -> None:
    """Of blocks with one expected photon, one in a million has nine."""
    most = 0
    for first_row in range(0, 8000, 1000):
        sums = poisson(np.full((1000, 2000), 0.125), 1, first_row).reshape(1000, -1, BLOCK).sum(axis=2)
        u, _ = uniforms(1, first_row, 1000, 2000)
        np.testing.assert_array_equal(sums[u > 0.999], stats.poisson.ppf(u[u > 0.999], 1.0))
        most = max(most, sums.max())
    assert most > BLOCK


def test_poisson_counts_follow_the_distribution() -> None:
    counts = poisson(np.full((50, 1000), 3.0), 5, 0).ravel()
    observed = np.bincount(np.minimum(counts, 10), minlength=11)
    expected = 50_000 * np.append(stats.poisson.pmf(np.arange(10), 3.0), stats.poisson.sf(9, 3.0))
    assert stats.chisquare(observed, expected).pvalue > 0.01


@pytest.mark.parametrize("size", [1, 7, 9, 30, 1936])
def test_a_block_does_not_depend_on_the_others(size: int) -> None:
    rng = np.random.default_rng(size)
    rates = rng.gamma(0.1, 5, (20, size))
    whole = poisson(rates, 9, 3)
    for block in range(0, size, BLOCK):
        changed = np.zeros_like(rates)
        changed[:, block : block + BLOCK] = rates[:, block : block + BLOCK]
        np.testing.assert_array_equal(poisson(changed, 9, 3)[:, block : block + BLOCK], whole[:, block : block + BLOCK])


def test_sums_are_those_of_the_counts() -> None:
    rng = np.random.default_rng(1)
    rates = rng.gamma(0.1, 5, (30, 50)).astype(np.float32)
    channel = rng.integers(-1, 3, 50).astype(np.int32)
    counts, sums = poisson_of(rates, *block_keys(1, 0, 30), 65535, channel, 3)
    np.testing.assert_array_equal(sums, np.stack([counts[:, channel == c].sum(axis=1) for c in range(3)], axis=1))


@pytest.mark.parametrize("rate", [np.nan, np.inf])
def test_rates_that_are_not_finite_are_refused(rate: float) -> None:
    rates = np.ones((3, 20), dtype=np.float32)
    rates[1, 17] = rate
    with pytest.raises(ModelError, match="rates that are not finite"):
        poisson_of(rates, *block_keys(1, 0, 3), 65535)


def test_poisson_counts_stop_at_the_bound() -> None:
    rates = np.full((1, 20), 1e5, dtype=np.float32)
    assert set(poisson_of(rates, *block_keys(1, 0, 1), 65535)[0].ravel().tolist()) == {65535}


@pytest.mark.parametrize(("seed", "row"), [(-1, 0), (MAX_SEED, 0), (0, -1), (0, MAX_ROW)])
def test_seeds_and_rows_have_bounds(seed: int, row: int) -> None:
    with pytest.raises(InvalidInputError, match=r"must be in \[0, 2\^"):
        check_seed(seed, row)


def test_fresh_seeds_are_valid_and_differ() -> None:
    seeds = {fresh_seed() for _ in range(1000)}
    assert len(seeds) == 1000
    for seed in seeds:
        check_seed(seed)


def test_processes_draw_seeds_of_their_own() -> None:
    fresh_seed()
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about a fork with threads, which users' programs do
        child = os.fork()
    if child == 0:
        os.write(write, str(fresh_seed()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(read, 100)) not in {fresh_seed() for _ in range(300)}
    os.close(read)
    os.close(write)
