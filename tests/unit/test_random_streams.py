"""The random streams are part of the public contract: their words and transforms are frozen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from zdc_detector.errors import InvalidInputError
from zdc_detector.random import (
    FINISH_STREAM,
    MAX_ROW,
    MAX_SEED,
    NOISE_STREAM,
    check_seed,
    fresh_seed,
    normals,
    poisson,
    raw_words,
    uniforms,
)

MASK = 2**64 - 1


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
    assert uniforms(7, 5, 1, 3)[0].tolist() == [0.8796162843937054, 0.5117282007122412, 0.6273426878033206]


@given(
    seed=st.integers(0, MAX_SEED - 1),
    first=st.integers(0, MAX_ROW - 100),
    cut=st.integers(0, 12),
    size=st.integers(1, 11),
)
def test_a_row_does_not_depend_on_its_block(seed: int, first: int, cut: int, size: int) -> None:
    for draw in (normals, uniforms):
        whole = draw(seed, first, 12, size)
        parts = [draw(seed, first, cut, size), draw(seed, first + cut, 12 - cut, size)]
        assert whole.tobytes() == np.concatenate(parts).tobytes()


def test_streams_seeds_and_rows_differ() -> None:
    reference = raw_words(7, NOISE_STREAM, 3, 1, 8)
    for other in (raw_words(7, FINISH_STREAM, 3, 1, 8), raw_words(8, 1, 3, 1, 8), raw_words(7, 1, 4, 1, 8)):
        assert not np.intersect1d(reference, other).size


def test_uniforms_are_the_halves_of_the_words_low_half_first() -> None:
    word = int(raw_words(7, FINISH_STREAM, 5, 1, 1)[0, 0])
    assert uniforms(7, 5, 1, 2)[0].tolist() == [((word & 0xFFFFFFFF) + 0.5) / 2**32, ((word >> 32) + 0.5) / 2**32]


def test_uniforms_are_uniform() -> None:
    drawn = uniforms(11, 0, 400, 250).ravel()
    assert 0 < drawn.min() < drawn.max() < 1
    assert stats.kstest(drawn, "uniform").pvalue > 0.01


def test_normals_are_normal_and_independent() -> None:
    drawn = normals(11, 0, 20_000, 5)
    assert drawn.dtype == np.float32
    for column in drawn.T:
        assert stats.kstest(column, "norm").pvalue > 0.01
    # Box-Muller pairs columns k and k + 3; squares would show a common radius.
    assert np.abs(np.corrcoef(drawn.T) - np.eye(5)).max() < 4 / np.sqrt(20_000)
    assert np.abs(np.corrcoef((drawn**2).T) - np.eye(5)).max() < 4 / np.sqrt(20_000)


RATES = [0.0, 1e-12, 1e-4, 0.3, 1.0, 7.7, 50.0, 127.9, 128.0, 128.1, 200.0, 999.5, 6.5e4]


@pytest.mark.parametrize("rate", RATES)
def test_poisson_is_the_exact_inverse_of_the_cumulative_sum(rate: float) -> None:
    edges = [0.5 / 2**32, 1e-6, 1 - 1e-6, 1 - 0.5 / 2**32]
    u = np.concatenate([edges, uniforms(3, 0, 1, 2000)[0]])
    counts = poisson(np.full(u.shape, rate), u).astype(np.int64)
    # Smallest k with P(K <= k) >= u, up to the rounding of the sums (the uniforms are 2.3e-10 apart).
    assert np.all(stats.poisson.cdf(counts, rate) >= u - 1e-10)
    assert np.all(stats.poisson.cdf(counts - 1, rate) < u + 1e-10)


def test_poisson_counts_follow_the_distribution() -> None:
    counts = poisson(np.full(50_000, 3.0), uniforms(5, 0, 50, 1000).ravel())
    observed = np.bincount(np.minimum(counts, 10), minlength=11)
    expected = 50_000 * np.append(stats.poisson.pmf(np.arange(10), 3.0), stats.poisson.sf(9, 3.0))
    assert stats.chisquare(observed, expected).pvalue > 0.01


def test_poisson_of_mixed_rates_equals_poisson_of_each() -> None:
    rates = np.array(RATES).reshape(1, -1).repeat(50, axis=0)
    u = uniforms(9, 0, *rates.shape)
    together = poisson(rates, u)
    assert together.shape == rates.shape
    assert together.dtype == np.uint32
    alone = [[int(poisson(rates[i : i + 1, j], u[i : i + 1, j])[0]) for j in range(rates.shape[1])] for i in range(50)]
    assert together.tolist() == alone


@pytest.mark.parametrize(("seed", "row"), [(-1, 0), (MAX_SEED, 0), (0, -1), (0, MAX_ROW)])
def test_seeds_and_rows_have_bounds(seed: int, row: int) -> None:
    with pytest.raises(InvalidInputError, match=r"must be in \[0, 2\^"):
        check_seed(seed, row)


def test_fresh_seeds_are_valid_and_differ() -> None:
    seeds = {fresh_seed() for _ in range(20)}
    assert len(seeds) == 20
    for seed in seeds:
        check_seed(seed)
