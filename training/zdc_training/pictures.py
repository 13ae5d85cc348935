"""Pictures of generated beside simulated responses."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.image import AxesImage
from numpy.typing import NDArray
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import ENERGY, Particles, species_name
from zdc_detector.whole_file import whole_file

_SHOWN = 3  # repeats of either kind
_SIMULATED, _GENERATED = "tab:blue", "tab:orange"
_BINS = 24


def choose_examples(particles: Particles, sums: NDArray[np.integer], most: int = 10) -> NDArray[np.intp]:
    """Particles that show the variety of a test set: every species, from low to high energy.

    Each species gets one place, the others go by frequency; of each species, energies at evenly spaced quantiles,
    among the particles that have light in most simulations.

    Parameters
    ----------
    sums : Simulated photon sums, shape (P, R).

    Returns
    -------
    Indices, by species and energy, shape (at most `most`,).
    """
    lit = np.median(sums, axis=1) > 0
    codes, counts = np.unique(particles.pdg[lit], return_counts=True)
    codes = codes[np.argsort(-counts, kind="stable")]
    spare = max(most - len(codes), 0) * np.sort(counts)[::-1] / max(counts.sum(), 1)
    chosen: list[int] = []
    for code, wanted in zip(codes[:most], 1 + np.rint(spare).astype(int), strict=False):
        rows = np.flatnonzero(lit & (particles.pdg == code))
        rows = rows[np.argsort(particles.conditions[rows, ENERGY], kind="stable")]
        places = (np.arange(wanted) + 0.5) / wanted * len(rows)
        chosen.extend(rows[np.unique(places.astype(int))].tolist())
    return np.array(chosen, dtype=np.intp)


def draw_responses(
    path: Path,
    simulated: NDArray[np.integer],
    generated: NDArray[np.integer],
    particles: Particles,
    calorimeter: Calorimeter,
) -> None:
    """One row a particle: simulated responses, then generated ones, on one logarithmic colour scale a row.

    A circle shows where the particle's straight line meets the face.

    Parameters
    ----------
    simulated, generated : Photons per fibre, shapes (P, R, rows, columns) and (P, G, rows, columns).
    """
    rows = choose_examples(particles, simulated.sum(axis=(2, 3)))
    columns = min(_SHOWN, simulated.shape[1]), min(_SHOWN, generated.shape[1])
    figure = Figure(figsize=(1.55 * sum(columns) + 1.9, 1.75 * len(rows) + 0.7), layout="constrained")
    grid = figure.subplots(len(rows), sum(columns), squeeze=False, sharex=True, sharey=True)
    impacts = calorimeter.impact_points(particles.conditions)
    for line, row in zip(grid, rows, strict=True):
        images = [*simulated[row, : columns[0]], *generated[row, : columns[1]]]
        norm = LogNorm(1, max(2, *(int(image.max()) for image in images)))
        for axes, image in zip(line, images, strict=True):
            drawn = _draw_image(axes, image, norm, calorimeter, impacts[row])
        name = species_name(int(particles.pdg[row]))
        line[0].set_ylabel(f"{name}, {particles.conditions[row, ENERGY]:.0f} GeV\ny [cm]", fontsize=8)
        bar = figure.colorbar(drawn, ax=line.tolist(), fraction=0.03, pad=0.01, format="%d")
        bar.ax.tick_params(labelsize=7)
        bar.ax.minorticks_off()
        bar.set_label("photons", fontsize=8)
    for first, place in (("Geant4", 0), ("generated", columns[0])):
        grid[0, place].set_title(f"{first}\n{grid[0, place].get_title()}", fontsize=9)
    for axes in grid[:, columns[0] :].flat:
        for side in axes.spines.values():
            side.set_color(_GENERATED)
            side.set_linewidth(1.5)
    for axes in grid[-1]:
        axes.set_xlabel("x [cm]", fontsize=8)
    _save(figure, path)


def _draw_image(
    axes: Axes,
    image: NDArray[np.integer],
    norm: LogNorm,
    calorimeter: Calorimeter,
    impact: NDArray[np.float64],
) -> AxesImage:
    x, y = calorimeter.half_width
    axes.set_facecolor("black")
    photons = np.ma.masked_equal(image.T, 0)  # x runs along the rows of a response: transposed, it runs to the right
    drawn = axes.imshow(
        photons, origin="lower", extent=(-x, x, -y, y), norm=norm, cmap="viridis", interpolation="nearest"
    )
    axes.plot(*impact, marker="o", markerfacecolor="none", color="red", markersize=14, markeredgewidth=0.6)
    axes.set_title(f"{int(image.sum())} photons", fontsize=8)
    axes.set_xlim(-x, x)
    axes.set_ylim(-y, y)
    axes.tick_params(labelsize=6)
    return drawn


def draw_distributions(
    path: Path, simulated: NDArray[np.integer], generated: NDArray[np.integer], calorimeter: Calorimeter
) -> None:
    """Distributions of the photon sum and the channels over all showers, and generated / simulated below each.

    Parameters
    ----------
    simulated, generated : Photons per fibre, shapes (P, R, rows, columns) and (P, G, rows, columns).
    """
    tables = []
    for responses in (simulated, generated):
        channels = calorimeter.channel_sums(responses.reshape(-1, *calorimeter.shape)).astype(np.int64)
        tables.append(np.column_stack([channels.sum(axis=1), channels]))
    names = ("photon sum", *calorimeter.channel_names)
    across = 3
    figure = Figure(figsize=(4.2 * across, 4.0 * -(-len(names) // across)), layout="constrained")
    outer = GridSpec(-(-len(names) // across), across, figure=figure)
    for k, name in enumerate(names):
        inner = outer[k].subgridspec(2, 1, height_ratios=(3, 1), hspace=0.0)
        top = figure.add_subplot(inner[0])
        below = figure.add_subplot(inner[1], sharex=top)
        _draw_distribution(top, below, tables[0][:, k], tables[1][:, k])
        top.set_title(name, fontsize=10)
        below.set_xlabel("photons", fontsize=8)
    _save(figure, path)


def _draw_distribution(top: Axes, below: Axes, simulated: NDArray[np.int64], generated: NDArray[np.int64]) -> None:
    largest = max(int(simulated.max()), int(generated.max()), 2)
    # Integer edges, so that no bin falls between two whole numbers of photons.
    edges = np.unique(np.rint(np.geomspace(1, largest + 1, _BINS)))
    histograms = []
    for values, color, name, alpha in (
        (simulated, _SIMULATED, "Geant4", 0.4),
        (generated, _GENERATED, "generated", 1.0),
    ):
        counts = np.histogram(values, edges)[0]
        histograms.append((counts, len(values)))
        label = f"{name}: {np.mean(values == 0):.1%} at 0"
        top.stairs(counts / len(values), edges, color=color, label=label, fill=name == "Geant4", alpha=alpha)
    (a, n), (b, m) = histograms
    filled = (a > 0) & (b > 0)
    ratio = (b[filled] / m) / (a[filled] / n)
    centres = np.sqrt(edges[1:] * edges[:-1])[filled]
    below.errorbar(
        centres, ratio, ratio * np.sqrt(1 / a[filled] + 1 / b[filled]), fmt=".", color=_GENERATED, ms=4, lw=0.8
    )
    below.axhline(1, color=_SIMULATED, lw=0.8)
    below.set_ylim(0, 2)
    below.set_ylabel("ratio", fontsize=8)
    top.set_xscale("log")
    top.set_ylabel("share of the responses", fontsize=8)
    top.tick_params(labelbottom=False, labelsize=7)
    below.tick_params(labelsize=7)
    top.legend(fontsize=7)


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    with whole_file(path) as part:
        figure.savefig(part, format="png", dpi=130)
