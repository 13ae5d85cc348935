"""Inner loops of random numbers, photon counts and checks, compiled by numba.

`zdc_detector.random` and `zdc_detector.finish` define what they compute. Import this module within functions, not at
the top of a module: loading the compiler takes 0.3 s, too long for ``zdc --help``.
"""

import math
from functools import partial
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray
from zdc_common.compiled import compiled

_M0, _M1 = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)  # Philox 4x64, table 2 of Salmon et al.
_W0, _W1 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)
_32, _ZERO, _ONE = np.uint64(32), np.uint64(0), np.uint64(1)
_LOG_SQRT_2PI = 0.9189385332046727
_LARGE_RATE = 128.0
_BLOCK, _HALVES = 8, 8  # fibres of a block, 32-bit numbers of a Philox counter
_DIM = 1.0  # blocks with at most this sum of rates draw their total first
_LARGEST_TOTAL = 1e30
_INVERSES = 256.0
#: Reciprocals: a division would take as long as the rest of the loop.
_INVERSE = np.append(0.0, 1.0 / np.arange(1.0, _INVERSES))


def _multiply_upper(_context: Any, _a: Any, _b: Any) -> Any:
    """Upper 64 bits of the product of two words."""

    def generate(_target: Any, builder: Any, _signature: Any, words: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(words[0], wide), builder.zext(words[1], wide))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate


_upper: Any = intrinsic(_multiply_upper)


@compiled
def _philox(
    counter: np.uint64, more: np.uint64, key0: np.uint64, key1: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """The four words of a counter (counter, more, 0, 0): Philox 4x64 with ten rounds."""
    c0, c1, c2, c3 = counter, more, _ZERO, _ZERO
    for _ in range(10):
        high0, high1 = _upper(_M0, c0), _upper(_M1, c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ key0, _M1 * c2, high0 ^ c3 ^ key1, _M0 * c0
        key0, key1 = key0 + _W0, key1 + _W1
    return c0, c1, c2, c3


@compiled
def normal_rows(
    seeds: NDArray[np.uint64], rows: NDArray[np.uint64], stream: np.uint64, out: NDArray[np.float32]
) -> None:
    """Standard normal numbers of each (seed, row), into `out` of shape (N, size)."""
    size = out.shape[1]
    pairs = (size + 1) // 2
    steps = (2 * pairs + 3) // 4
    words = np.empty(4 * steps, dtype=np.uint64)
    for n in range(len(out)):
        first = rows[n] * np.uint64(steps) + _ONE  # numpy counts up before each block
        for s in range(steps):
            words[4 * s : 4 * s + 4] = _philox(first + np.uint64(s), _ZERO, seeds[n], stream)
        for p in range(pairs):
            radius = math.sqrt(-2.0 * math.log(1.0 - np.float64(words[p] >> np.uint64(11)) * 2.0**-53))
            angle = 2.0 * math.pi * (np.float64(words[pairs + p] >> np.uint64(11)) * 2.0**-53)
            out[n, p] = radius * math.cos(angle)
            if pairs + p < size:
                out[n, pairs + p] = radius * math.sin(angle)


@partial(compiled, nogil=True)
def poisson_rows(
    rates: NDArray[np.float32],
    seeds: NDArray[np.uint64],
    rows: NDArray[np.uint64],
    stream: np.uint64,
    most: int,
    channel: NDArray[np.int32],
    counts: NDArray[np.uint16],
    sums: NDArray[np.uint32],
) -> bool:
    """Poisson counts of rates of shape (N, fibres) from the words of each (seed, row); False if a rate is not finite.

    Parameters
    ----------
    rates, seeds, rows, most : As in `zdc_detector.random.poisson_of`.
    stream : Second word of the key.
    channel : Channel of each fibre, -1 for none, shape (fibres,).
    counts : Filled, shape (N, fibres); zeros when called.
    sums : Photons of each channel, filled, shape (N, channels); zeros when called.
    """
    fibres = rates.shape[1]
    blocks = (fibres + _BLOCK - 1) // _BLOCK
    groups = (blocks + _HALVES - 1) // _HALVES
    finite = True
    of_blocks, of_fibres = np.empty(_HALVES, dtype=np.uint32), np.empty(_HALVES, dtype=np.uint32)
    lit, totals, uniforms = np.empty(blocks, dtype=np.int64), np.empty(blocks), np.empty(blocks)
    for n in range(len(counts)):
        rate_of, count_of, sum_of = rates[n], counts[n], sums[n]
        first = rows[n] * np.uint64(groups + blocks) + _ONE
        found = 0
        for block in range(blocks):
            if block % _HALVES == 0:
                _halves(first + np.uint64(block // _HALVES), _ZERO, seeds[n], stream, of_blocks)
            start = block * _BLOCK
            total = _sum(rate_of, start, min(start + _BLOCK, fibres))
            uniform = (np.float64(of_blocks[block % _HALVES]) + 0.5) * 2.0**-32
            lit[found], totals[found], uniforms[found] = block, total, uniform
            # exp(-total) >= 1 - total, so most dark blocks need no exponential. A branch would be mispredicted.
            found += not uniform <= 1.0 - total
        for place in range(found):
            block, total = lit[place], totals[place]
            if not total <= _LARGEST_TOTAL:
                finite = False
                continue
            start, stop = block * _BLOCK, min(block * _BLOCK + _BLOCK, fibres)
            own = first + np.uint64(groups + block)
            if total <= _DIM:
                photons = _inverse_poisson(total, uniforms[place])
                for photon in range(photons):
                    if photon % _HALVES == 0:
                        _halves(own, np.uint64(photon // _HALVES), seeds[n], stream, of_fibres)
                    left = (np.float64(of_fibres[photon % _HALVES]) + 0.5) * 2.0**-32 * total
                    i = start
                    while i < stop - 1 and left > np.float64(rate_of[i]):
                        left -= np.float64(rate_of[i])
                        i += 1
                    count_of[i] += 1
                    if channel[i] >= 0:
                        sum_of[channel[i]] += 1
                continue
            _halves(own, _ZERO, seeds[n], stream, of_fibres)
            for i in range(start, stop):
                rate = np.float64(rate_of[i])
                uniform = (np.float64(of_fibres[i - start]) + 0.5) * 2.0**-32
                if uniform > 1.0 - rate:
                    count = min(_inverse_poisson(rate, uniform), most)
                    count_of[i] = count
                    if channel[i] >= 0:
                        sum_of[channel[i]] += count
    return finite


@compiled
def _sum(numbers: NDArray[np.float32], start: int, stop: int) -> float:
    """Sum of at most one block of numbers; a whole block is summed pairwise, so that additions run in parallel."""
    if stop - start == _BLOCK:
        a, b = np.float64(numbers[start]), np.float64(numbers[start + 1])
        c, d = np.float64(numbers[start + 2]), np.float64(numbers[start + 3])
        e, f = np.float64(numbers[start + 4]), np.float64(numbers[start + 5])
        g, h = np.float64(numbers[start + 6]), np.float64(numbers[start + 7])
        return ((a + b) + (c + d)) + ((e + f) + (g + h))
    total = 0.0
    for i in range(start, stop):
        total += np.float64(numbers[i])
    return total


@compiled
def _halves(counter: np.uint64, more: np.uint64, key0: np.uint64, key1: np.uint64, out: NDArray[np.uint32]) -> None:
    """The eight 32-bit halves of the words of one counter, low halves first."""
    a, b, c, d = _philox(counter, more, key0, key1)
    out[0], out[1], out[2], out[3] = a, a >> _32, b, b >> _32
    out[4], out[5], out[6], out[7] = c, c >> _32, d, d >> _32


@compiled
def _inverse_poisson(rate: float, uniform: float) -> int:
    """The smallest k with P(K <= k) >= uniform; for large rates the float64 sum starts 9 standard deviations below."""
    k = 0.0
    term = math.exp(-rate)
    if rate > _LARGE_RATE:  # 9 standard deviations: the lost probability is < 1e-18
        k = math.floor(rate - 9.0 * math.sqrt(rate))
        term = math.exp(k * math.log(rate) - rate - _log_factorial(k))
    total = term
    while total < uniform:
        k += 1.0
        term *= rate * _INVERSE[int(k)] if k < _INVERSES else rate / k
        if total + term <= total and k > rate:  # the rest of the tail is below the rounding
            break
        total += term
    return int(k)


@compiled
def _log_factorial(n: float) -> float:
    """log(n!) by Stirling's series to x^-7; the first omitted term is < 1e-16 for n >= 26, as used here."""
    x = n + 1.0
    inverse = 1.0 / (x * x)
    series = (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse / 1680))) / x
    return (x - 0.5) * math.log(x) - x + _LOG_SQRT_2PI + series


@compiled
def channel_rows(images: NDArray[np.generic], channel: NDArray[np.int32], out: NDArray[np.generic]) -> None:
    """Sum the fibres (N, fibres) of each channel into `out` of shape (N, channels); channel -1 is none."""
    for n in range(len(out)):
        out[n, :] = 0
        for i in range(images.shape[1]):
            photons = images[n, i]
            if photons != 0 and channel[i] >= 0:
                out[n, channel[i]] += photons


@compiled
def hit_rows(
    images: NDArray[np.generic],
    offsets: NDArray[np.uint64],
    fibre: NDArray[np.uint16],
    photons: NDArray[np.generic],
) -> int:
    """Fill the last three arguments with the non-zero fibres of images (N, fibres); returns the number of hits."""
    total = 0
    offsets[0] = 0
    for n in range(len(images)):
        for i in range(images.shape[1]):
            if images[n, i] != 0:
                fibre[total], photons[total] = i, images[n, i]
                total += 1
        offsets[n + 1] = total
    return total


@compiled
def condition_rows(
    pdg: NDArray[np.int64],
    kinematics: NDArray[np.float32],
    codes: NDArray[np.int64],
    mass_and_charge: NDArray[np.float64],
    largest: float,
    smallest_pz: float,
    out: NDArray[np.float32],
) -> bool:
    r"""Fill in the nine conditions of valid particles with known codes; False at the first other particle.

    Parameters
    ----------
    pdg, kinematics : Codes, shape (N,), and px, py, pz [GeV/c], vx, vy, vz [cm], shape (N, 6).
    codes, mass_and_charge : Known codes, ascending, shape (S,), with mass [MeV] and charge [e], shape (S, 2).
    largest, smallest_pz : Bounds of all numbers and of \|pz\|.
    out : Columns `zdc_detector.particles.CONDITIONS`, shape (N, 9).
    """
    at = 0
    for n in range(len(pdg)):
        if codes[at] != pdg[n]:  # usually the code of the previous row
            at, end = 0, len(codes) - 1
            while at < end:
                middle = (at + end) // 2
                if codes[middle] < pdg[n]:
                    at = middle + 1
                else:
                    end = middle
            if codes[at] != pdg[n]:
                return False
        squares = 0.0
        for i in range(6):
            value = kinematics[n, i]
            if not abs(value) <= largest:  # also refuses nan
                return False
            if i < 3:
                squares += np.float64(value) ** 2
        if not abs(kinematics[n, 2]) >= smallest_pz:
            return False
        mass, charge = mass_and_charge[at]
        out[n, 0] = math.sqrt(squares + (mass * 1e-3) ** 2)
        out[n, 1:4] = kinematics[n, 3:]
        out[n, 4:7] = kinematics[n, :3]
        out[n, 7], out[n, 8] = mass, charge
    return True


@compiled
def split_rows(
    rows: NDArray[np.float32], largest: float, pdg: NDArray[np.int64], kinematics: NDArray[np.float32]
) -> bool:
    """Split rows into code and kinematics; False at the first code that is not an integer of at most `largest`."""
    for n in range(len(rows)):
        code = rows[n, 0]
        if not abs(code) <= largest or code != math.floor(code):
            return False
        pdg[n] = int(code)
        kinematics[n, :] = rows[n, 1:]
    return True


@compiled
def range_rows(
    pdg: NDArray[np.int64],
    conditions: NDArray[np.float32],
    species: NDArray[np.int64],
    energy: NDArray[np.float64],
    vertex: NDArray[np.float64],
    at_face: NDArray[np.float64],
    face: float,
    out: NDArray[np.uint8],
) -> int:
    """Number of particles outside a model's ranges; `out` is an index into `zdc_detector.ranges.RANGES`.

    Parameters
    ----------
    pdg, conditions : Shapes (N,) and (N, 9); particles with pz < 0 are mirrored to +z first.
    species, energy, vertex : Codes, shape (S,), bounds of their energies, shape (S, 2), and of the vertex, (3, 2).
    at_face : Bounds of x, y, px/pz and py/pz at the face, shape (4, 2), or (0, 2) if the model knows no such particles.
    face : The vz of particles at the face [cm].
    """
    outside = 0
    for n in range(len(pdg)):
        reason = 1
        pz = np.float64(conditions[n, 6])
        vz = np.float64(conditions[n, 3]) if pz > 0 else -np.float64(conditions[n, 3])
        given_at_face = vz == face
        for s in range(len(species)):
            if species[s] == pdg[n]:
                if (given_at_face and len(at_face) == 0) or (not given_at_face and conditions[n, 8] != 0):
                    reason = 4
                else:
                    reason = 0 if energy[s, 0] <= conditions[n, 0] <= energy[s, 1] else 2
                break
        if reason == 0 and given_at_face:
            for axis in range(4):
                value = np.float64(conditions[n, 1 + axis]) if axis < 2 else conditions[n, 2 + axis] / abs(pz)
                if reason == 0 and not at_face[axis, 0] <= value <= at_face[axis, 1]:
                    reason = 5 if axis < 2 else 6
        elif reason == 0:
            for axis in range(3):
                value = np.float64(conditions[n, 1 + axis]) if axis < 2 else vz
                if not vertex[axis, 0] <= value <= vertex[axis, 1]:
                    reason = 3
        out[n] = reason
        outside += reason > 0
    return outside
