"""Histograms of two samples with the ratio below, as in particle physics; and profiles against the energy."""

from collections.abc import Mapping

import mplhep
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter, NullLocator
from numpy.typing import NDArray
from zdc_detector.particles import ENERGY, by_frequency, species_name
from zdc_detector.showers import Showers

from zdc_metrics.reports.histograms import Histogram, common_edges, ratio
from zdc_metrics.reports.plot_style import GENERATED_COLOR, REFERENCE_COLOR, plot_style
from zdc_metrics.scores.quantities import Quantity

Pair = tuple[NDArray[np.float64], NDArray[np.float64]]

_ACROSS = 4
_PROFILE_BINS = 10
_SCATTERED = 3000  # maximum number of points of each sample
_RATIO = (0.0, 2.0)
_SHORT = 100  # end over beginning of a logarithmic axis that has numbers at 2 and 5


def draw_histograms(pairs: Mapping[Quantity, Pair], names: tuple[str, str]) -> Figure:
    """One panel for each quantity: shares of all responses, and below them the ratio second over first.

    Bars and the grey band are Poisson errors of the second and of the first sample. The legend gives the
    shares outside the bins and of undefined values, so the shares of a panel and its legend add up to one.

    Parameters
    ----------
    pairs : Values of both samples; nan if undefined for a response.
    names : Names of the samples.
    """
    across = min(_ACROSS, len(pairs))
    down = -(-len(pairs) // across)
    with plot_style():
        figure = Figure(figsize=(3.4 * across, 3.5 * down))
        outer = _grid(figure, down, across)
        for k, (quantity, (first, second)) in enumerate(pairs.items()):
            inner = outer[k // across, k % across].subgridspec(2, 1, height_ratios=(3, 1.1), hspace=0.0)
            top = figure.add_subplot(inner[0])
            below = figure.add_subplot(inner[1], sharex=top)
            edges = common_edges(quantity, first, second)
            if edges is None:
                top.text(0.5, 0.5, "no light", transform=top.transAxes, ha="center")
            else:
                _draw_pair(top, below, quantity, (Histogram.of(first, edges), Histogram.of(second, edges)), names)
            below.set_xlabel(quantity.axis)
    return figure


def _grid(figure: Figure, down: int, across: int) -> GridSpec:
    """Axes with room for the labels, in inches; matplotlib's automatic layout takes seconds for many axes."""
    width, height = figure.get_size_inches()
    cell = width / across, height / down
    return figure.add_gridspec(
        down, across, left=0.6 / width, right=1 - 0.1 / width, bottom=0.5 / height, top=1 - 0.25 / height,
        wspace=0.65 / (cell[0] - 0.65), hspace=0.65 / (cell[1] - 0.65),
    )  # fmt: skip


def _draw_pair(
    top: Axes, below: Axes, quantity: Quantity, pair: tuple[Histogram, Histogram], names: tuple[str, str]
) -> None:
    first, second = pair
    logarithmic = quantity.kind != "lengths"
    labels = [f"{name}{_outside(quantity, one)}" for name, one in zip(names, pair, strict=True)]
    mplhep.histplot(
        first.shares, first.edges, ax=top, histtype="fill", color=REFERENCE_COLOR, alpha=0.4, label=labels[0]
    )
    mplhep.histplot(second.shares, second.edges, yerr=second.errors, ax=top, color=GENERATED_COLOR, label=labels[1])
    top.set_ylim(0, 1.45 * max(float(np.max(one.shares + one.errors)) for one in pair))
    if logarithmic:
        _logarithmic(top, first.edges[0], first.edges[-1])
    top.set_xlim(first.edges[0], first.edges[-1])
    top.set_ylabel("share of the responses")
    top.tick_params(which="both", labelbottom=False)
    top.legend(loc="upper left")
    compared = ratio(first, second)
    centres = np.sqrt(first.edges[1:] * first.edges[:-1]) if logarithmic else 0.5 * (first.edges[1:] + first.edges[:-1])
    below.stairs(
        np.nan_to_num(1 + compared.band, nan=1), first.edges, baseline=np.nan_to_num(1 - compared.band, nan=1),
        fill=True, color=REFERENCE_COLOR, alpha=0.25, lw=0,
    )  # fmt: skip
    _draw_ratio(below, centres, compared.values, compared.errors)


def _logarithmic(axes: Axes, low: float, high: float) -> None:
    """A logarithmic x axis; a short axis also has numbers at 2 and 5, because it has only one or two powers of ten."""
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    if high < _SHORT * low:
        axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.xaxis.set_minor_formatter(FormatStrFormatter("%g"))


def _draw_ratio(
    axes: Axes, places: NDArray[np.float64], values: NDArray[np.float64], errors: NDArray[np.float64]
) -> None:
    """Points around 1; those outside the range are arrows at its end, hollow if the reference is empty."""
    axes.axhline(1, color="grey", lw=0.8)
    with np.errstate(invalid="ignore"):
        high = values > _RATIO[1]
    axes.errorbar(places[~high], values[~high], errors[~high], fmt=".", color=GENERATED_COLOR, lw=0.9)
    for chosen, fill in ((high & np.isfinite(values), "full"), (np.isinf(values), "none")):
        end = np.full(np.count_nonzero(chosen), _RATIO[1] - 0.2)
        axes.plot(places[chosen], end, "^", color=GENERATED_COLOR, ms=4, fillstyle=fill)
    axes.set_ylim(*_RATIO)
    axes.set_yticks([0.5, 1, 1.5])
    axes.set_ylabel("ratio", loc="center")


def _outside(quantity: Quantity, counted: Histogram) -> str:
    """Responses outside the axes or without a value, for the legend."""
    total = max(counted.total, 1)
    if quantity.kind == "counts":
        return f", {counted.below / total:.1%} at 0" if counted.below else ""
    shares = {"outside": counted.below + counted.above, "empty": counted.missing}
    return "".join(f", {count / total:.1%} {word}" for word, count in shares.items() if count)


def draw_profiles(reference: Showers, generated: Showers, sums: Pair, names: tuple[str, str], most: int = 6) -> Figure:
    """Photon sum against energy, one panel for each species: all responses, means in bins of energy, and their ratio.

    Bars are standard errors of the means.

    Parameters
    ----------
    sums : Photon sums of both samples.
    most : Maximum number of species; the most frequent in the reference are drawn.
    """
    codes = by_frequency(reference.particles.pdg)[0][:most]
    across = min(3, len(codes))
    down = -(-len(codes) // across)
    with plot_style():
        figure = Figure(figsize=(4.4 * across, 4.0 * down))
        outer = _grid(figure, down, across)
        for k, code in enumerate(codes):
            inner = outer[k // across, k % across].subgridspec(2, 1, height_ratios=(3, 1.1), hspace=0.0)
            top = figure.add_subplot(inner[0])
            below = figure.add_subplot(inner[1], sharex=top)
            points = [
                (sample.particles.conditions[rows, ENERGY].astype(np.float64), values[rows])
                for sample, values in zip((reference, generated), sums, strict=True)
                for rows in [np.flatnonzero(sample.particles.pdg == code)]
            ]
            _draw_profile(top, below, points, names)
            top.set_title(species_name(int(code)))
            below.set_xlabel("energy [GeV]")
    return figure


def _draw_profile(top: Axes, below: Axes, points: list[Pair], names: tuple[str, str]) -> None:
    energies = np.concatenate([energy for energy, _ in points])
    bins = min(_PROFILE_BINS, max(1, len(points[0][0]) // 8))
    edges = np.geomspace(energies.min() * (1 - 1e-6), energies.max() * (1 + 1e-6), bins + 1)
    centres = np.sqrt(edges[1:] * edges[:-1])
    means = []
    looks = (REFERENCE_COLOR, "s", 5), (GENERATED_COLOR, "o", 3)  # seen behind each other
    for (energy, values), name, (color, marker, size) in zip(points, names, looks, strict=True):
        shown = slice(None, None, -(-len(energy) // _SCATTERED))
        top.plot(energy[shown], values[shown], ".", ms=1.5, alpha=0.3, color=color, rasterized=True)
        place = np.digitize(energy, edges) - 1
        inside = [values[place == k] for k in range(bins)]
        mean = np.array([np.mean(one) if len(one) else np.nan for one in inside])
        error = np.array([np.std(one, ddof=1) / np.sqrt(len(one)) if len(one) > 1 else np.nan for one in inside])
        top.errorbar(centres, mean, error, fmt=marker, ms=size, lw=1, color=color, label=name)
        means.append((mean, error))
    _logarithmic(top, edges[0], edges[-1])
    top.set_yscale("symlog", linthresh=10)
    top.yaxis.set_minor_locator(NullLocator())
    top.set_ylim(0, 2 * max(10.0, *(float(values.max()) for _, values in points if len(values))))
    top.set_ylabel("photon sum [photons]")
    top.tick_params(which="both", labelbottom=False)
    top.legend(loc="upper left")
    (a, a_error), (b, b_error) = means
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient = np.where(a > 0, b / a, np.nan)
        errors = quotient * np.sqrt((a_error / a) ** 2 + (b_error / b) ** 2)
    _draw_ratio(below, centres, quotient, np.nan_to_num(errors))
