"""Training curves: loss terms and validation figures by epoch."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, MaxNLocator, NullFormatter
from zdc_common.whole_file import whole_file

CURVES_FILE = "curves.png"

_COLUMNS = 3
_FEW_POINTS = 20  # points are marked: a line through one point is invisible
_SHOWN = ("loss/", "validation/", "gradient_norm")
#: Ratios of largest to smallest value from which the axis is logarithmic, and up to which it has ticks at 1, 2 and 5.
_LOGARITHMIC, _FEW_DECADES = 10.0, 1000.0


def draw_curves(records: Sequence[dict[str, float]], picture: Path) -> None:
    """Draw the log of a run as a PNG file, which appears complete or not at all.

    Parameters
    ----------
    records : One record per epoch, see `zdc_training.runs.run.Run.records`; without records, no file is written.
    """
    names = sorted({name for record in records for name in record if name.startswith(_SHOWN)})
    shown = [name for name in names if any(record.get(name) for record in records)]
    if not shown:
        return
    rows = -(-len(shown) // _COLUMNS)
    figure = Figure(figsize=(4 * _COLUMNS, 2.6 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for i, name in enumerate(shown):
        axes = figure.add_subplot(rows, _COLUMNS, i + 1)
        points = [(record["epoch"], record[name]) for record in records if name in record]
        axes.plot(*zip(*points, strict=True), linewidth=1.2, marker="." if len(points) <= _FEW_POINTS else None)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        _scale([value for _, value in points], axes)
        axes.set_title(name.replace("/", ": ").replace("_", " "), fontsize=9)
        axes.set_xlabel("epoch", fontsize=8)
        axes.tick_params(labelsize=7, which="both")
        axes.grid(alpha=0.3)
    with whole_file(picture) as part:
        figure.savefig(part, dpi=110, format="png")


def _scale(values: Sequence[float], axes: Axes) -> None:
    """Use a logarithmic axis for large ranges; minor ticks have no labels, because there is no room."""
    low, high = min(values), max(values)
    if low <= 0 or high / low < _LOGARITHMIC:
        return
    axes.set_yscale("log")
    subs = (1.0, 2.0, 5.0) if high / low < _FEW_DECADES else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(subs=subs))
    axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.yaxis.set_minor_formatter(NullFormatter())
