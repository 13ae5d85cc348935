"""Linearity, resolution, e/h, edge and angle from showers at the face; leakage from probes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from zdc_detector.particles import CONDITIONS, ENERGY
from zdc_detector.showers import Showers
from zdc_metrics.scores.classifier import fibre_positions

from zdc_training.validation.probes import DEPTH_EDGES, DISTANCE_EDGES
from zdc_training.validation.studies import Probed

PX = CONDITIONS.index("px")
_RESAMPLES = 400
#: Fewest showers in a bin.
_FEWEST = 15
#: Showers of the response start further inside the face than this [cm].
INSIDE = 1.2
#: Parameters of the electromagnetic fraction of a hadronic shower, f = 1 - (E / E0)^(k - 1): Gabriel, Groom, Job,
#: Mokhov and Stevenson, NIM A 338 (1994) 336. E0 [GeV] of protons and neutrons.
GROOM_K, GROOM_E0 = 0.82, 2.6
#: The formula is used above this energy [GeV].
LOWEST_EM_FRACTION = 20.0


@dataclass(frozen=True)
class Value:
    """A number with its statistical error (one standard deviation)."""

    value: float
    error: float

    def __str__(self) -> str:
        return rounded(self.value, self.error)


def rounded(value: float, error: float) -> str:
    """Value and error with two digits of the error."""
    if not np.isfinite(value):
        return "–"
    if not np.isfinite(error) or error <= 1e-9 * abs(value):  # nothing but rounding
        return f"{value:.3g}"
    digits = max(0, 1 - int(np.floor(np.log10(error))))
    return f"{value:.{digits}f} ± {error:.{digits}f}"


@dataclass(frozen=True)
class Response:
    """Response to one species in one bin of energy, from showers that start well inside the face.

    Attributes
    ----------
    bin : Number of the bin.
    energy : Geometric mean [GeV].
    showers : Number of showers.
    per_gev : Mean photons per GeV.
    resolution : Spread of the photons per GeV, see `spread`, with the photons' own Poisson fluctuation.
    half, most : Distance from the impact point within which half, and 90 %, of the light is [cm]: fibres to the axis of
        the shower, in the plane of the face.
    """

    bin: int
    energy: float
    showers: int
    per_gev: Value
    resolution: Value
    half: Value
    most: Value


@dataclass(frozen=True)
class Cloud:
    """What the response needs of each shower: N showers.

    Attributes
    ----------
    pdg : Shape (N,).
    energy : [GeV].
    photons : Photon sums.
    edge : Distance of the impact point to the edge of the face [cm], negative outside.
    slope : sqrt(px^2 + py^2) / pz.
    radial : Photons by distance to the impact point, bins of `DISTANCE_EDGES`, shape (N, bins).
    """

    pdg: NDArray[np.int64]
    energy: NDArray[np.float64]
    photons: NDArray[np.float64]
    edge: NDArray[np.float64]
    slope: NDArray[np.float64]
    radial: NDArray[np.float64]

    def __getitem__(self, rows: NDArray[np.generic]) -> "Cloud":
        """Rows by index array or mask."""
        return Cloud(*(column[rows] for column in vars(self).values()))


def cloud_of(showers: Showers) -> Cloud:
    """The cloud of a file of showers with particles at the face, or neutral ones before it."""
    face, conditions = showers.calorimeter, showers.particles.conditions.astype(np.float64)
    impact = face.impact_points(showers.particles.conditions)
    edge = (np.array(face.half_width) - np.abs(impact)).min(axis=1)
    x, y = (fibre_positions(face, axis) for axis in (0, 1))
    radial = np.empty((len(showers), len(DISTANCE_EDGES) - 1))
    for row, (place, image) in enumerate(zip(impact, showers.responses, strict=True)):
        distance = np.hypot(x[:, None] - place[0], y[None, :] - place[1])
        radial[row] = np.histogram(distance, DISTANCE_EDGES, weights=image)[0]
    return Cloud(
        showers.particles.pdg,
        conditions[:, ENERGY],
        showers.responses.sum(axis=(1, 2), dtype=np.float64),
        edge,
        np.hypot(conditions[:, PX], conditions[:, PX + 1]) / conditions[:, PX + 2],
        radial,
    )


def responses(cloud: Cloud, codes: Sequence[int], edges: NDArray[np.float64]) -> list[Response]:
    """The response in each bin of energy that has enough showers; errors from a bootstrap over showers.

    Parameters
    ----------
    codes : PDG codes that count as one species.
    edges : Edges of the bins [GeV].
    """
    inside = cloud[np.isin(cloud.pdg, codes) & (cloud.edge > INSIDE)]
    found = []
    for number, (low, high) in enumerate(pairwise(edges)):
        chosen = inside[(inside.energy >= low) & (inside.energy < high)]
        if len(chosen.energy) >= _FEWEST and chosen.photons.any():
            found.append(_response(chosen, number))
    return found


def _response(cloud: Cloud, number_of_bin: int) -> Response:
    per_gev = cloud.photons / cloud.energy
    number = len(per_gev)

    def contained(share: float) -> Value:
        return _resampled(number, lambda rows: quantile(cloud.radial[rows].sum(axis=0), DISTANCE_EDGES, share))

    return Response(
        number_of_bin,
        float(np.exp(np.log(cloud.energy).mean())),
        number,
        _resampled(number, lambda rows: float(cloud.photons[rows].sum() / cloud.energy[rows].sum())),
        _resampled(number, lambda rows: spread(per_gev[rows])),
        contained(0.5),
        contained(0.9),
    )


def by_place(
    cloud: Cloud, codes: Sequence[int], lowest: float, of: str, edges: Sequence[float]
) -> list[tuple[float, float, Value]]:
    """Photons per GeV in bins of `edge` (all showers) or `slope` (inside the face): bin's edges and value.

    Parameters
    ----------
    lowest : Smallest energy [GeV].
    """
    chosen = cloud[np.isin(cloud.pdg, codes) & (cloud.energy > lowest)]
    if of != "edge":
        chosen = chosen[chosen.edge > INSIDE]
    found = []
    for low, high in pairwise(edges):
        values: NDArray[np.float64] = getattr(chosen, of)
        part = chosen[(values >= low) & (values < high)]
        if len(part.energy) >= _FEWEST:
            per_gev = part.photons / part.energy
            found.append((low, high, _resampled(len(per_gev), partial(_mean, per_gev))))
    return found


def _mean(values: NDArray[np.float64], rows: NDArray[np.intp]) -> float:
    return float(values[rows].mean())


def _resampled(showers: int, figure: Callable[[NDArray[np.intp]], float]) -> Value:
    rng = np.random.default_rng(0)
    resamples = [figure(rng.integers(0, showers, showers)) for _ in range(_RESAMPLES)]
    return Value(figure(np.arange(showers)), float(np.std(resamples)))


def spread(values: NDArray[np.float64]) -> float:
    """Half of the width of the central 68.3 % over the median: sigma / mean of a Gaussian, and blind to rare values."""
    low, middle, high = np.quantile(values, (0.1587, 0.5, 0.8413))
    return float((high - low) / (2 * middle)) if middle > 0 else np.nan


def ratio(first: Value, second: Value) -> Value:
    """Ratio of two independent values."""
    value = first.value / second.value
    return Value(value, float(abs(value) * np.hypot(first.error / first.value, second.error / second.value)))


def quantile(profile: NDArray[np.floating], edges: NDArray[np.float64], share: float) -> float:
    """Where the cumulated profile reaches a share of its total."""
    cumulated = np.concatenate([[0], np.cumsum(profile, dtype=np.float64)])
    return float(np.interp(share * cumulated[-1], cumulated, edges))


def resolution_fit(responses: Sequence[Response]) -> tuple[Value, Value]:
    """Fit a and b of sigma / E = a / sqrt(E) (+) b, E in GeV: a weighted straight line of the square against 1 / E."""
    x = np.array([1 / r.energy for r in responses])
    s = np.array([r.resolution.value for r in responses])
    error = 2 * s * np.array([r.resolution.error for r in responses])
    design = np.column_stack([x, np.ones_like(x)]) / error[:, None]
    covariance = np.linalg.inv(design.T @ design)
    squares = covariance @ design.T @ (s**2 / error)
    a, b = np.sqrt(np.maximum(squares, 0))
    errors = np.sqrt(np.diag(covariance))
    return (
        Value(float(a), float(errors[0] / (2 * a)) if a else np.nan),
        Value(float(b), float(errors[1] / (2 * b)) if b else np.nan),
    )


def em_fraction(energy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean electromagnetic fraction of showers of protons or neutrons, `energy` [GeV]."""
    fraction: NDArray[np.float64] = 1 - (energy / GROOM_E0) ** (GROOM_K - 1)
    return fraction


def e_over_h(hadrons: Sequence[Response], electromagnetic: Sequence[Response]) -> Value:
    """Fit e/h to hadron/e = f + (1 - f) h/e with the em fraction f: a weighted mean of h/e over the energies.

    The response to electrons and photons is interpolated in the logarithm of the energy.
    """
    at = np.log([r.energy for r in electromagnetic])
    light = np.array([r.per_gev.value for r in electromagnetic])
    noise = float(np.mean([r.per_gev.error / r.per_gev.value for r in electromagnetic]))
    energies = np.array([r.energy for r in hadrons if r.energy >= LOWEST_EM_FRACTION])
    values = [r.per_gev for r in hadrons if r.energy >= LOWEST_EM_FRACTION]
    ratio = np.array([v.value for v in values]) / np.interp(np.log(energies), at, light)
    error = ratio * np.hypot([v.error / v.value for v in values], noise)
    f = em_fraction(energies)
    weights = np.square((1 - f) / error)
    mean = float(np.sum(weights * (ratio - f) / (1 - f)) / weights.sum())
    return Value(1 / mean, float(1 / np.sqrt(weights.sum())) / mean**2)


def leakage(large: Probed, depth: float, half_side: float) -> tuple[Value, Value]:
    """Shares of the light in a large block that a block of this depth, and of this half side [cm], would not see."""

    def beyond(profile: NDArray[np.float32], edges: NDArray[np.float64], limit: float) -> Value:
        inside = edges[1:] <= limit + 1e-9

        def share(rows: NDArray[np.intp]) -> float:
            total = profile[rows].sum(axis=0)
            return float(1 - total[inside].sum() / total.sum())

        return _resampled(len(large.light), share)

    return beyond(large.depth, DEPTH_EDGES, depth), beyond(large.square, DISTANCE_EDGES, half_side)


def ratio_of_means(first: NDArray[np.float64], second: NDArray[np.float64], paired: bool) -> Value:
    """Mean of the first over mean of the second; `paired` values come from the same showers."""
    rng = np.random.default_rng(0)
    value = first.mean() / second.mean()
    resamples = []
    for _ in range(_RESAMPLES):
        a = rng.integers(0, len(first), len(first))
        b = a if paired else rng.integers(0, len(second), len(second))
        resamples.append(first[a].mean() / second[b].mean())
    return Value(float(value), float(np.std(resamples)))
