"""Photon sums by species and energy: differences of mean, spread and empty share in standard errors."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from zdc_common.frozen import Frozen
from zdc_detector.particles import Particles

from zdc_metrics.scores.groups import energy_groups, species_groups
from zdc_metrics.statistics.bootstrap import draw_particles
from zdc_metrics.statistics.distances import photon_sum_variance
from zdc_metrics.statistics.splits import Way
from zdc_metrics.statistics.tables import Interval, header, number, row

#: Edges between the energy bins of a species [GeV].
EDGES = (30.0, 100.0, 300.0, 1000.0)
#: Minimum number of particles of a bin: fewer give no reliable standard error. A species in which every bin has fewer
#: has a single bin of all energies.
MINIMUM = 10
#: Limit of a significant difference, in standard errors.
LIMIT = 2.0

QUANTITIES = ("mean", "spread", "empty")


class Comparison(Frozen):
    """Generated against simulated; None if undefined, for example for two empty shares of zero."""

    value: float | None = Field(description="ratio generated / simulated, or difference generated - simulated")
    error: float | None = Field(description="standard error of the value")
    distance: float | None = Field(description="from equality, in standard errors")
    floor: float | None = Field(
        description="root mean square of this distance, simulated against simulated; 1 if errors are right"
    )


class Bin(Frozen):
    """One species in one energy range.

    Attributes
    ----------
    mean : Ratio of the mean photon sums.
    spread : Ratio of the spreads; spread is the square root of the mean variance of the photon sum over the repeats.
    empty : Difference of the shares of empty responses.
    """

    name: str
    particles: int
    mean: Comparison
    spread: Comparison
    empty: Comparison


class Bins(Frozen):
    """All bins, and the number of comparisons more than `limit` standard errors from equality.

    Attributes
    ----------
    left_out : Names and numbers of particles of the bins with fewer than `minimum` particles.
    compared, beyond : Number of comparisons, and of those beyond the limit.
    floor_beyond, floor_beyond_range : Number beyond the limit in as many comparisons of simulations with simulations:
        mean over the splits of the repeats, two against two, and central 90 % range of the splits; None without splits.
    simulation : Name of the simulation.
    """

    bins: tuple[Bin, ...]
    left_out: tuple[tuple[str, int], ...]
    minimum: int = MINIMUM
    limit: float = LIMIT
    compared: int
    beyond: int
    floor_beyond: float | None
    floor_beyond_range: Interval | None
    simulation: str = "simulation"

    def summary(self) -> str:
        """One sentence."""
        found = (
            f"{self.beyond} of {self.compared} comparisons are more than {self.limit:g} standard errors from equality"
        )
        if self.floor_beyond is None or self.floor_beyond_range is None:
            return f"{found}."
        low, high = self.floor_beyond_range
        return (
            f"{found}; for {self.simulation} against {self.simulation}, {self.floor_beyond:.1f} on average "
            f"({low:.1f} to {high:.1f} in 90% of the splits of the repeats)."
        )

    def to_markdown(self) -> str:
        """The summary, a table, and the bins that are left out."""
        lines = [
            "Photon sums by species and energy, generated against simulated: ratio of the means, ratio of the spreads "
            "over the repeats of a particle, difference of the empty shares, each with its standard error and "
            "(its distance from equality in standard errors; root mean square of this distance for "
            f"{self.simulation} against {self.simulation}). " + self.summary(),
            "",
            *header("particles", "n", "mean", "spread", "empty share"),
        ]
        for found in self.bins:
            cells = (_cell(getattr(found, name)) for name in QUANTITIES)
            lines.append(row(found.name, str(found.particles), *cells))
        if self.left_out:
            listed = ", ".join(f"{name}: {count}" for name, count in self.left_out)
            lines += ["", f"Bins of fewer than {self.minimum} particles are left out ({listed})."]
        return "\n".join(lines) + "\n"


def _cell(found: Comparison) -> str:
    if found.value is None or found.error is None:
        return number(found.value)
    distance = "–" if found.distance is None else f"{found.distance:+.1f}"
    floor = "–" if found.floor is None else f"{found.floor:.1f}"
    return f"{found.value:.3g} ± {found.error:.2g} ({distance}; {floor})"


def compare_bins(
    simulated: NDArray[np.int64],
    generated: NDArray[np.int64],
    particles: Particles,
    floors: list[Way],
    resamples: int,
    rng: np.random.Generator,
    simulation: str = "simulation",
) -> Bins:
    """Compare photon sums, shapes (P, R) and (P, G), in bins of species and energy.

    Standard errors come from a bootstrap over particles, with all repeats of a particle together. They include the
    noise of the repeats on both sides and the scatter of the generator's errors between particles, but no systematic
    error of the simulation.
    """
    rows_of, left_out = _choose(particles)
    bins, distances, floor_distances = [], [], []
    for name, rows in rows_of.items():
        draws = draw_particles(len(rows), resamples, rng)
        counts = np.array([np.bincount(draw, minlength=len(rows)) for draw in draws], dtype=np.float64)
        value, error = _compare(simulated[rows], generated[rows], counts)
        splits = [_compare(simulated[rows][:, list(a)], simulated[rows][:, list(b)], counts) for a, b in floors]
        distance = _distance(value, error)
        floor_distance = np.array([_distance(*split) for split in splits]).reshape(len(splits), len(QUANTITIES))
        distances.append(distance)
        floor_distances.append(floor_distance)
        # Ratios were compared as logarithms.
        shown = np.where([True, True, False], np.exp(value), value)
        errors = np.where([True, True, False], shown * error, error)
        entries = {
            quantity: Comparison(
                value=_defined(shown[k]),
                error=_defined(errors[k]),
                distance=_defined(distance[k]),
                floor=_defined(_root_mean_square(floor_distance[:, k])),
            )
            for k, quantity in enumerate(QUANTITIES)
        }
        bins.append(Bin(name=name, particles=len(rows), **entries))
    compared, beyond = _beyond(np.array(distances).reshape(1, -1))
    each = np.array(floor_distances).reshape(len(bins), len(floors), len(QUANTITIES))
    floor_compared, floor_beyond = _beyond(np.swapaxes(each, 0, 1).reshape(len(floors), len(bins) * len(QUANTITIES)))
    share = floor_beyond / np.maximum(floor_compared, 1) * compared[0]
    low, high = np.quantile(share, (0.05, 0.95)) if floors else (0.0, 0.0)
    return Bins(
        bins=tuple(bins),
        left_out=left_out,
        compared=int(compared[0]),
        beyond=int(beyond[0]),
        floor_beyond=float(share.mean()) if floors else None,
        floor_beyond_range=(float(low), float(high)) if floors else None,
        simulation=simulation,
    )


def _choose(particles: Particles) -> tuple[dict[str, NDArray[np.intp]], tuple[tuple[str, int], ...]]:
    chosen, left_out = {}, []
    for species, rows in species_groups(particles).items():
        bins = {f"{species}, {name}": inside for name, inside in energy_groups(particles, rows, EDGES).items()}
        if all(len(inside) < MINIMUM for inside in bins.values()):
            bins = {species: rows}
        for name, inside in bins.items():
            if len(inside) < MINIMUM:
                left_out.append((name, len(inside)))
            else:
                chosen[name] = inside
    return chosen, tuple(left_out)


def _compare(
    simulated: NDArray[np.int64], generated: NDArray[np.int64], counts: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Logarithms of the ratios of mean and spread, difference of the empty shares; their standard errors, shapes (3,).

    Parameters
    ----------
    counts : Number of occurrences of each of the n particles in each resample, shape (B, n).
    """
    n = len(simulated)
    weights = np.vstack([np.ones(n), counts]) / n
    real, made = (weights @ _per_particle(sums) for sums in (simulated, generated))
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, variance = np.log(made[:, :2] / real[:, :2]).T
    values = np.column_stack([mean, 0.5 * variance, np.round(made[:, 2] - real[:, 2], 12)])  # equal shares give 0
    errors = np.array([_deviation(column) for column in values[1:].T]) * np.sqrt(n / (n - 1))
    # Without empty responses on one side, the bootstrap gives no noise for that side.
    errors[2] = max(errors[2], _binomial_error(simulated == 0, generated == 0))
    return values[0], errors


def _per_particle(sums: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean and unbiased variance of the photon sum over repeats and share of empty responses, shape (n, 3)."""
    return np.column_stack([sums.mean(axis=1), photon_sum_variance(sums), (sums == 0).mean(axis=1)])


def _binomial_error(simulated: NDArray[np.bool_], generated: NDArray[np.bool_]) -> float:
    """Standard error of the difference of two shares, if each particle has the same probability on both sides."""
    both = np.concatenate([simulated, generated], axis=1)
    variance = both.astype(np.float64).var(axis=1, ddof=1) * (1 / simulated.shape[1] + 1 / generated.shape[1])
    return float(np.sqrt(variance.sum())) / len(both)


def _deviation(values: NDArray[np.float64]) -> float:
    defined = values[np.isfinite(values)]
    return float(defined.std(ddof=1)) if 2 * len(defined) >= len(values) and len(defined) > 1 else float("nan")


def _distance(value: NDArray[np.float64], error: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        distance: NDArray[np.float64] = value / np.where(error > 0, error, np.nan)
    return distance


def _beyond(distances: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Number of defined distances of each row, and of those beyond the limit."""
    defined = np.isfinite(distances)
    return defined.sum(axis=1), (np.abs(np.where(defined, distances, 0)) > LIMIT).sum(axis=1)


def _root_mean_square(values: NDArray[np.float64]) -> float:
    defined = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(defined**2))) if len(defined) else float("nan")


def _defined(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
