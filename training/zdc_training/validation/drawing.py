"""The pictures of the validation."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from zdc_detector.particles import ENERGY, species_name
from zdc_metrics.reports.plot_style import GENERATED_COLOR, REFERENCE_COLOR, plot_style

from zdc_training.validation.probes import DEPTH_EDGES, DISTANCE_EDGES
from zdc_training.validation.response import Response, Value, resolution_fit
from zdc_training.validation.rows import Row
from zdc_training.validation.shipped import Pair
from zdc_training.validation.studies import Probed

_MARKERS = "osD^vP*X"


def draw_shipped(pair: Pair) -> Figure:
    """Photons per GeV of each particle in both simulations, and the spread over repeats."""
    with plot_style():
        figure = Figure(figsize=(7.6, 3.6), layout="constrained")
        photons, spread = figure.subplots(1, 2)
        energy = pair.reference.particles.conditions[:, ENERGY].astype(np.float64)
        sums = [side.sums.astype(np.float64) for side in (pair.of_reference, pair.of_ours)]
        for marker, code in zip(_MARKERS, np.unique(pair.reference.particles.pdg), strict=False):
            rows = pair.reference.particles.pdg == code
            theirs, ours = (side[rows] / energy[rows, None] for side in sums)
            photons.errorbar(
                theirs.mean(axis=1), ours.mean(axis=1), ours.std(axis=1, ddof=1) / np.sqrt(ours.shape[1]),
                theirs.std(axis=1, ddof=1) / np.sqrt(theirs.shape[1]), marker, label=species_name(int(code)), lw=0.8,
            )  # fmt: skip
            bright = theirs.mean(axis=1) * energy[rows] > 5
            bright &= ours.any(axis=1)
            relative = (side[bright].std(axis=1, ddof=1) / side[bright].mean(axis=1) for side in (theirs, ours))
            spread.plot(*relative, marker)
        _diagonal(photons, "photons per GeV")
        _diagonal(spread, "standard deviation / mean of a particle's photon sum")
        photons.legend(loc="upper left")
    return figure


def _diagonal(axes: Axes, what: str) -> None:
    top = max(axes.get_xlim()[1], axes.get_ylim()[1])
    axes.plot([0, top], [0, top], color="0.6", lw=0.8)
    axes.set(xlim=(0, top), ylim=(0, top), xlabel=f"shipped: {what}", ylabel="simulator")
    axes.set_aspect("equal")


def draw_response(responses: Mapping[str, Sequence[Response]]) -> Figure:
    """Linearity and resolution by energy."""
    with plot_style():
        figure = Figure(figsize=(7.6, 3.2), layout="constrained")
        linear, resolution = figure.subplots(1, 2)
        for number, (name, found) in enumerate(responses.items()):
            color, marker = f"C{number}", _MARKERS[number]
            energy = np.array([r.energy for r in found])
            _points(linear, energy, [r.per_gev for r in found], color, marker, name)
            _points(resolution, energy, [r.resolution for r in found], color, marker, name)
            a, b = resolution_fit([r for r in found if r.energy > 10])
            line = np.geomspace(10, energy[-1], 100)
            label = f"{100 * a.value:.0f} %/√E (+) {100 * b.value:.1f} %"
            resolution.plot(line, np.hypot(a.value / np.sqrt(line), b.value), color=color, lw=0.8, label=label)
        for axes, what in ((linear, "photons per GeV"), (resolution, "spread / median")):
            axes.set(xscale="log", xlabel="energy [GeV]", ylabel=what)
            axes.legend()
        linear.set_ylim(bottom=0)
        resolution.set_yscale("log")
    return figure


def _points(axes: Axes, x: np.ndarray, values: Sequence[Value], color: str, marker: str, name: str) -> None:
    axes.errorbar(x, [v.value for v in values], [v.error for v in values], color=color, fmt=marker, label=name)


def draw_profiles(probed: Mapping[str, Probed], depth: float, half_width: float) -> Figure:
    """Where the light is made in a large block, by depth and by distance from the particle's line, by name."""
    with plot_style():
        figure = Figure(figsize=(7.6, 3.2), layout="constrained")
        deep, wide = figure.subplots(1, 2)
        for name, each in probed.items():
            along = each.depth.sum(axis=0, dtype=np.float64)
            deep.stairs(along / along.sum() / np.diff(DEPTH_EDGES), DEPTH_EDGES, label=name)
            around = each.radius.sum(axis=0, dtype=np.float64)
            wide.plot(DISTANCE_EDGES, np.append(0, np.cumsum(around) / around.sum()))
        deep.axvline(depth, color="0.6", lw=0.8)
        wide.axvline(half_width, color="0.6", lw=0.8)
        deep.set(
            xlabel="depth [cm]", ylabel="share of the light per cm", yscale="log", ylim=(1e-6, None), xlim=(0, 200)
        )
        wide.set(xlabel="distance from the particle's line [cm]", ylabel="light within it", xlim=(0, 6), ylim=(0, 1.02))
        deep.legend()
    return figure


def draw_settings(rows: Sequence[Row]) -> Figure:
    """Ratios of the settings' tables, one line per setting."""
    names = list(dict.fromkeys(row.what.split(": ")[0] for row in rows))
    with plot_style():
        figure = Figure(figsize=(7.6, 0.24 * len(names) + 1.0), layout="constrained")
        axes = figure.subplots()
        colors: dict[str, str] = {}
        for row in rows:
            name, probe = row.what.split(": ")
            color = colors.setdefault(probe, (REFERENCE_COLOR, GENERATED_COLOR)[len(colors) % 2])
            place = names.index(name) + (0.14 if color == GENERATED_COLOR else -0.14)
            axes.errorbar(row.value.value, place, xerr=row.value.error, fmt="o", color=color)
        for probe, color in colors.items():
            axes.plot([], [], "o", color=color, label=probe)
        axes.axvline(1, color="0.6", lw=0.8)
        axes.set(yticks=range(len(names)), yticklabels=names, xlabel="photons / photons with the set-up's setting")
        axes.invert_yaxis()
        axes.legend()
    return figure
