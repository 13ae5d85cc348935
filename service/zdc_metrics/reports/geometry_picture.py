"""Picture of the geometry that a simulation used: face with its channels, one cell, and the way to the face."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from zdc_common.errors import FileFormatError
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.shower_rows import StoredRows

from zdc_metrics.reports.plot_style import plot_style

_ABSORBER, _AIR, _FIBRE = "0.6", "white", "tab:cyan"


def draw_geometry(stored: StoredRows, heading: str) -> Figure:
    """Draw the set-up in a file of `train-zdc simulate`, with the impact points of the file's rows.

    Raises
    ------
    FileFormatError : the file does not say how its showers were made.
    """
    set_up = _set_up(stored.attributes)
    with plot_style():
        figure = Figure(figsize=(11, 4.2), layout="constrained")
        face, cell, side = figure.subplots(1, 3, width_ratios=(1.1, 1, 1.3))
        _draw_face(face, stored)
        _draw_cell(cell, stored.calorimeter, set_up)
        _draw_side(side, stored.calorimeter, set_up)
        figure.suptitle(heading)
    return figure


def _set_up(attributes: Mapping[str, str | int | float]) -> dict[str, Any]:
    text = attributes.get("simulation")
    try:
        set_up: dict[str, Any] = json.loads(str(text))["set_up"]
    except (ValueError, KeyError, TypeError) as error:
        raise FileFormatError(
            "the file does not say with which geometry it was simulated; files of `train-zdc simulate` do"
        ) from error
    return set_up


def _draw_face(axes: Axes, stored: StoredRows) -> None:
    calorimeter = stored.calorimeter
    half_x, half_y = calorimeter.half_width
    index = np.ma.masked_less(calorimeter.channel_index, 0)
    number = len(calorimeter.channel_names)
    colours = ListedColormap(colormaps["Pastel1"](np.arange(number) % 9))
    extent = (-half_x, half_x, -half_y, half_y)
    image = axes.imshow(index.T, origin="lower", extent=extent, cmap=colours, vmin=-0.5, vmax=number - 0.5)
    bar = axes.figure.colorbar(image, ax=axes, ticks=range(number), shrink=0.7)
    bar.ax.set_yticklabels(calorimeter.channel_names)
    points = calorimeter.impact_points(stored.particles.conditions)
    axes.plot(points[:, 0], points[:, 1], ".", color="tab:red", markersize=3)
    rows, columns = calorimeter.shape
    x, y = calorimeter.centre
    title = f"face: {rows} x {columns} fibres around x = {x:g} cm, y = {y:g} cm\nred: impact points"
    axes.set(xlabel="x from the centre [cm]", ylabel="y from the centre [cm]", title=title)


def _draw_cell(axes: Axes, calorimeter: Calorimeter, set_up: dict[str, Any]) -> None:
    geometry = set_up["geometry"]
    pitch = [10 * side for side in calorimeter.pitch]
    groove, radius = 10 * geometry["groove"], 10 * geometry["fibre_radius"]
    axes.add_patch(Rectangle((-pitch[0] / 2, -pitch[1] / 2), *pitch, color=_ABSORBER))
    axes.add_patch(Rectangle((-groove / 2, -groove / 2), groove, groove, color=_AIR))
    axes.add_patch(Circle((0, 0), radius, color=_FIBRE))
    elements = ", ".join(f"{name} {100 * share:.0f} %" for name, share in set_up["absorber"]["mass_fractions"].items())
    axes.set(
        xlim=(-pitch[0] / 2, pitch[0] / 2),
        ylim=(-pitch[1] / 2, pitch[1] / 2),
        aspect="equal",
        xlabel="x [mm]",
        ylabel="y [mm]",
        title=f"cell: {elements}, {set_up['absorber']['density']:g} g/cm3\n"
        f"groove {groove:g} mm, fibre of radius {radius:g} mm",
    )


def _draw_side(axes: Axes, calorimeter: Calorimeter, set_up: dict[str, Any]) -> None:
    length = set_up["geometry"]["length"]
    half_y = calorimeter.half_width[1]
    axes.add_patch(Rectangle((calorimeter.face_z, -half_y), length, 2 * half_y, color=_ABSORBER))
    rows = -half_y + (np.arange(calorimeter.shape[1]) + 0.5) * calorimeter.pitch[1]
    axes.hlines(rows, calorimeter.face_z, calorimeter.face_z + length, color=_FIBRE, linewidth=0.5)
    upstream = set_up.get("upstream")
    swept = f"\ncharged particles are removed up to {upstream['sweep_end']:g} cm" if upstream else ""
    axes.set(
        xlim=(calorimeter.face_z - 0.2 * length, calorimeter.face_z + 1.1 * length),
        ylim=(-1.3 * half_y, 1.3 * half_y),
        xlabel="z [cm]",
        ylabel="y from the centre [cm]",
        title=f"side: absorber of {length:g} cm with fibres along z{swept}",
    )
