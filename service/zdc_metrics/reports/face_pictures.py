"""Pictures of the face: single responses and mean ones, on logarithmic colour scales."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import LogLocator
from numpy.typing import NDArray
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import ENERGY, Particles, by_frequency, species_name
from zdc_detector.shower_rows import StoredRows

from zdc_metrics.reports.alignment import aligned_mean
from zdc_metrics.reports.plot_style import GENERATED_COLOR, plot_style

#: Note below pictures of single responses.
CIRCLE = "red circle: where the particle's straight line meets the face"

_SHOWN = 3  # repeats of each kind
_LEAST_RATE = 0.1  # photons; darker fibres are black in pictures of rates
_COLORS = LinearSegmentedColormap.from_list(
    "lit", colormaps["viridis"](np.linspace(0.2, 1, 256))
)  # starts at 0.2, so that one photon is visible
_LEAST_MEAN = 1e-3  # photons
_IN_RATIO = 25  # minimum photons of a fibre in the first sample for a ratio: its error is then below 20 %


def choose_examples(particles: Particles, sums: NDArray[np.integer], most: int = 10) -> NDArray[np.intp]:
    """Particles that represent a test set: every species, from low to high energy.

    Each species gets one place, the others go by frequency; within a species, energies are at evenly spaced quantiles
    of the particles that give light in most simulations.

    Parameters
    ----------
    sums : Simulated photon sums, shape (P, R).

    Returns
    -------
    Indices, by species and energy, shape (at most `most`,).
    """
    lit = np.median(sums, axis=1) > 0
    codes, counts = by_frequency(particles.pdg[lit])
    spare = max(most - len(codes), 0) * counts / max(counts.sum(), 1)
    chosen: list[int] = []
    for code, wanted in zip(codes[:most], 1 + np.rint(spare).astype(int), strict=False):
        rows = np.flatnonzero(lit & (particles.pdg == code))
        rows = rows[np.argsort(particles.conditions[rows, ENERGY], kind="stable")]
        places = (np.arange(wanted) + 0.5) / wanted * len(rows)
        chosen.extend(rows[np.unique(places.astype(int))].tolist())
    return np.array(chosen, dtype=np.intp)


@dataclass(frozen=True)
class Column:
    """One response of each of P particles.

    Attributes
    ----------
    title : Name of the simulation or model.
    responses : Photons per fibre, shape (P, rows, columns).
    generated : Whether they are generated; these get a frame.
    """

    title: str
    responses: NDArray[np.generic]
    generated: bool


def draw_responses(
    simulated: NDArray[np.integer],
    generated: NDArray[np.integer],
    particles: Particles,
    calorimeter: Calorimeter,
    *,
    names: tuple[str, str] = ("simulation", "generated"),
    most: int = 10,
) -> Figure:
    """`draw_columns` for some repeats of particles that represent the sample.

    Parameters
    ----------
    simulated, generated : Photons per fibre, shapes (P, R, rows, columns) and (P, G, rows, columns).
    names : Headings of the two.
    most : Maximum number of particles.
    """
    rows = choose_examples(particles, simulated.sum(axis=(2, 3)), most)
    if not len(rows):  # all dark
        rows = np.arange(min(most, len(particles)))
    columns = [
        Column(name if repeat == 0 else "", responses[rows, repeat], made)
        for name, responses, made in zip(names, (simulated, generated), (False, True), strict=True)
        for repeat in range(min(_SHOWN, responses.shape[1]))
    ]
    return draw_columns(columns, particles[rows], calorimeter)


def draw_columns(columns: Sequence[Column], particles: Particles, calorimeter: Calorimeter) -> Figure:
    """One row for each particle, each with its own logarithmic colour scale; generated responses have a frame.

    A circle shows where the particle's straight line meets the face.

    Parameters
    ----------
    particles : P particles, P >= 1.
    """
    impacts = calorimeter.impact_points(particles.conditions)
    with plot_style():
        figure, grid, bars = _face_grid(len(particles), len(columns))
        for row, line in enumerate(grid):
            norm = _norm([column.responses[row] for column in columns])
            for axes, column in zip(line, columns, strict=True):
                image = column.responses[row]
                drawn = draw_face(axes, image, norm, calorimeter, impacts[row])
                above = f"{column.title}\n" if row == 0 and column.title else ""
                axes.set_title(
                    f"{above}{image.sum():.0f} photons", fontsize=8, y=1
                )  # without y, matplotlib takes seconds to place the titles
                for side in axes.spines.values() if column.generated else ():
                    side.set_color(GENERATED_COLOR)
                    side.set_linewidth(1.5)
            name = species_name(int(particles.pdg[row]))
            line[0].set_ylabel(f"{name}, {particles.conditions[row, ENERGY]:.0f} GeV\ny [cm]", fontsize=8, loc="center")
            _color_bar(figure, drawn, bars[row])
        _label_outer(grid, "x [cm]")
        figure.supxlabel(CIRCLE, fontsize=8, y=0.08 / figure.get_figheight(), va="bottom")
    return figure


def _face_grid(rows: int, columns: int) -> tuple[Figure, Any, Any]:
    """Axes of the faces and of a colour bar at the right of each row; a constrained layout would take seconds."""
    figure = Figure(figsize=(1.55 * columns + 1.5, 1.75 * rows + 0.8))
    width, height = figure.get_size_inches()
    axes = figure.subplots(
        rows,
        columns + 1,
        squeeze=False,
        width_ratios=[1] * columns + [0.06],
        gridspec_kw={  # inches
            "left": 0.8 / width,
            "right": 1 - 0.6 / width,
            "bottom": 0.65 / height,
            "top": 1 - 0.4 / height,
            "wspace": 0.12,
            "hspace": 0.22,
        },
    )
    return figure, axes[:, :-1], axes[:, -1]


def draw_rows(stored: StoredRows, title: str) -> Figure:
    """Rows of a file, each with its number, particle, energy, photon sum and channel sums, on one colour scale.

    Parameters
    ----------
    stored : One row or more.
    """
    across = min(4, len(stored.rows))
    down = -(-len(stored.rows) // across)
    calorimeter = stored.calorimeter
    impacts = calorimeter.impact_points(stored.particles.conditions)
    sums = calorimeter.channel_sums(stored.responses)
    whole = np.issubdtype(stored.responses.dtype, np.integer)
    norm = _norm(stored.responses)
    with plot_style():
        figure = Figure(figsize=(2.9 * across + 0.9, 3.25 * down + 0.7), layout="constrained")
        grid = figure.subplots(down, across, squeeze=False)
        for axes in grid.flat[len(stored.rows) :]:
            axes.set_axis_off()
        for i, axes in enumerate(grid.flat[: len(stored.rows)]):
            drawn = draw_face(axes, stored.responses[i], norm, calorimeter, impacts[i])
            axes.set_title(_caption(stored, i, sums[i], whole), fontsize=7.5, loc="left")
            axes.set_xlabel("x [cm]", fontsize=8)
            axes.set_ylabel("y [cm]", fontsize=8)
        _color_bar(figure, drawn, grid.ravel().tolist())
        names = ", ".join(calorimeter.channel_names)
        figure.suptitle(title, fontsize=9)
        figure.supxlabel(f"channels: {names}\n{CIRCLE}", fontsize=7.5)
    return figure


def _caption(stored: StoredRows, i: int, sums: NDArray[np.generic], whole: bool) -> str:
    name = species_name(int(stored.particles.pdg[i]))
    shown = [f"{value:d}" if whole else f"{value:.1f}" for value in sums.tolist()]
    total = sums.sum()
    return (
        f"row {stored.rows[i]}, particle_id {stored.particle_id[i]}\n"
        f"{name}, {stored.particles.conditions[i, ENERGY]:.4g} GeV: "
        f"{f'{total:d}' if whole else f'{total:.1f}'} photons\n"
        f"channels {' '.join(shown)}"
    )


def draw_means(
    samples: Sequence[tuple[str, NDArray[np.generic], Particles]], calorimeter: Calorimeter, most: int = 6
) -> Figure:
    """Mean responses around the impact point and their ratio, second over first; one row for each species.

    The ratio is shown for fibres with enough light in the first sample for an error below 20 %.

    Parameters
    ----------
    samples : Two of (name, photons per fibre of shape (N, rows, columns), N particles).
    most : Maximum number of species; the most frequent ones are drawn.
    """
    codes = by_frequency(samples[0][2].pdg)[0][:most]
    with plot_style():
        figure = Figure(figsize=(8.2, 2.35 * len(codes) + 0.5), layout="constrained")
        grid = figure.subplots(len(codes), 3, squeeze=False)
        for line, code in zip(grid, codes, strict=True):
            means = [
                aligned_mean(responses[rows], particles[rows], calorimeter)
                for _, responses, particles in samples
                for rows in [np.flatnonzero(particles.pdg == code)]
            ]
            norm = LogNorm(_LEAST_MEAN, max(0.1, *(float(np.nanmax(mean)) for mean in means)))
            for axes, mean, (name, _, particles) in zip(line, means, samples, strict=False):
                drawn = _image(axes, mean, calorimeter, norm, _COLORS)
                axes.set_title(f"{name}: {np.count_nonzero(particles.pdg == code)} responses", fontsize=8)
            _color_bar(figure, drawn, line[:2].tolist(), "mean photons", None)
            with np.errstate(divide="ignore", invalid="ignore"):
                responses = np.count_nonzero(samples[0][2].pdg == code)
                quotient = np.where(means[0] * responses >= _IN_RATIO, means[1] / means[0], np.nan)
            drawn = _image(line[2], quotient, calorimeter, LogNorm(0.5, 2), colormaps["RdBu_r"])
            line[2].set_facecolor("lightgrey")
            line[2].set_title(f"{samples[1][0]} / {samples[0][0]}", fontsize=8)
            bar = _color_bar(figure, drawn, [line[2]], "ratio", None)
            bar.set_ticks([0.5, 0.7, 1, 1.4, 2], labels=["0.5", "0.7", "1", "1.4", "2"])
            line[0].set_ylabel(f"{species_name(int(code))}\ny - impact [cm]", fontsize=8, loc="center")
        _label_outer(grid, "x - impact [cm]")
    return figure


def _label_outer(grid: Any, label: str) -> None:
    """Draw numbers and labels only at the left and at the bottom; shared axes would take seconds to draw."""
    for axes in grid[:, 1:].flat:
        axes.tick_params(labelleft=False)
    for axes in grid[:-1].flat:
        axes.tick_params(labelbottom=False)
    for axes in grid[-1]:
        axes.set_xlabel(label, fontsize=8)


def draw_face(
    axes: Axes,
    image: NDArray[np.generic],
    norm: LogNorm,
    calorimeter: Calorimeter,
    impact: NDArray[np.float64],
) -> AxesImage:
    """One response; dark fibres are black, a circle marks the impact point of the particle's straight line."""
    drawn = _image(axes, image.astype(np.float64), calorimeter, norm, _COLORS)
    axes.plot(*impact, marker="o", markerfacecolor="none", color="red", markersize=14, markeredgewidth=0.6)
    x, y = calorimeter.half_width
    axes.set_xlim(-x, x)
    axes.set_ylim(-y, y)
    return drawn


def _image(
    axes: Axes, image: NDArray[np.float64], calorimeter: Calorimeter, norm: LogNorm, colors: Colormap
) -> AxesImage:
    x, y = calorimeter.half_width
    axes.set_facecolor("black")
    axes.tick_params(labelsize=6, which="both", direction="out", top=False, right=False)
    axes.minorticks_off()
    photons = np.ma.masked_invalid(np.ma.masked_equal(image.T, 0))  # x runs along the rows: transposed, to the right
    return axes.imshow(photons, origin="lower", extent=(-x, x, -y, y), norm=norm, cmap=colors, interpolation="nearest")


def _norm(images: Sequence[NDArray[np.generic]] | NDArray[np.generic]) -> LogNorm:
    largest = max(float(image.max()) for image in images)
    whole = np.issubdtype(images[0].dtype, np.integer)
    return LogNorm(1 if whole else _LEAST_RATE, _round_end(max(2.0, largest)))


def _round_end(largest: float) -> float:
    """The next 1, 2 or 5 times a power of ten, as the end of a scale."""
    power = 10.0 ** np.floor(np.log10(largest))
    return float(next(power * factor for factor in (1, 2, 5, 10) if power * factor >= largest * (1 - 1e-9)))


def _color_bar(
    figure: Figure, drawn: ScalarMappable, axes: list[Axes] | Axes, label: str = "photons", form: str | None = "%g"
) -> Colorbar:
    """A colour bar in the given axes, or in space taken from them."""
    place: dict[str, Any] = {"cax": axes} if isinstance(axes, Axes) else {"ax": axes, "fraction": 0.03, "pad": 0.01}
    bar = figure.colorbar(drawn, format=form, **place)
    if form is not None:
        bar.set_ticks(LogLocator(subs=(1, 2, 5)))
    bar.ax.tick_params(labelsize=7)
    bar.ax.minorticks_off()
    bar.set_label(label, fontsize=8)
    return bar
