"""Style of figures: mplhep's style at the size of a page; matplotlib's global settings do not change."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import mplhep
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from zdc_common.whole_file import whole_file

#: Colours of the reference and of the compared sample.
REFERENCE_COLOR, GENERATED_COLOR = "tab:blue", "tab:orange"

_SIZES = {
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.titlesize": 9,
    "axes.labelpad": 3,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.size": 5,
    "ytick.major.size": 5,
    "xtick.minor.size": 2.5,  # on logarithmic axes
    "xtick.minor.visible": False,  # in many panels they would take most of the time and bytes
    "ytick.minor.visible": False,
    "legend.fontsize": 8,
    "lines.markersize": 4,
    "svg.fonttype": "path",  # letters look the same on every machine
    "svg.hashsalt": "zdc-fastsim",  # the same file from the same data
}

_WITHOUT_DATE = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


@contextmanager
def plot_style() -> Iterator[None]:
    """Context with ticks, fonts and labels of mplhep's ALICE style; figures get no label of the collaboration."""
    settings: dict[str, Any] = {**mplhep.style.ALICE, **_SIZES}
    with mpl.rc_context(settings):  # type: ignore[arg-type]
        yield


def encoded(figure: Figure, kind: str, dpi: int = 110) -> bytes:
    """The figure as ``svg``, ``png`` or ``pdf``: the same bytes for the same figure."""
    buffer = BytesIO()
    with plot_style():
        FigureCanvasAgg(figure)
        figure.savefig(buffer, format=kind, dpi=dpi, metadata=_WITHOUT_DATE.get(kind))
    return _smaller(buffer.getvalue()) if kind == "svg" else buffer.getvalue()


def _smaller(svg: bytes) -> bytes:
    """Half the size: without names of groups, spaces, styles that tick marks have anyway, and digits below 0.01 pt."""
    svg = re.sub(rb'(<use [^>]*?) style="stroke: #000000; stroke-width: [\d.]+"', rb"\1", svg)
    svg = re.sub(rb'<g id="\w+(?:\.axis)?_\d+">', b"<g>", svg)
    svg = re.sub(rb">\s+<", b"><", svg)
    svg = re.sub(rb"<g>(<use [^>]*/>)</g>", rb"\1", svg)
    return re.sub(rb"(\d\d\.\d\d)\d+", rb"\1", svg)


def save_figure(figure: Figure, path: Path, dpi: int = 130) -> None:
    """Write a picture in the format of the path's suffix, completely or not at all."""
    content = encoded(figure, path.suffix.lower().removeprefix("."), dpi)
    with whole_file(path) as part:
        part.write_bytes(content)
