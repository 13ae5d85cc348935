"""The picture of a training run: loss terms and validation figures by epoch."""

import json
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from zdc_detector.whole_file import whole_file

CURVES_FILE = "curves.png"


def draw_curves(log: Path, picture: Path) -> None:
    """Draw ``log.jsonl`` of a run; the PNG appears whole or not at all."""
    records = [json.loads(line) for line in log.read_text().splitlines()]
    names = sorted({name for record in records for name in record if name.startswith(("loss/", "validation/"))})
    shown = [name for name in names if any(record.get(name) for record in records)]
    columns = 3
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(4 * columns, 2.6 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for i, name in enumerate(shown):
        axes = figure.add_subplot(rows, columns, i + 1)
        points = [(record["epoch"], record[name]) for record in records if name in record]
        axes.plot(*zip(*points, strict=True), linewidth=1.2)
        if min(value for _, value in points) > 0:
            axes.set_yscale("log")
        axes.set_title(name.replace("/", ": ").replace("_", " "), fontsize=9)
        axes.set_xlabel("epoch", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
    with whole_file(picture) as part:
        figure.savefig(part, dpi=110, format="png")
