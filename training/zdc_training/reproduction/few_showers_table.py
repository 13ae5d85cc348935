"""Table and picture of a comparison of models from few showers."""

import csv
import io
import statistics
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from zdc_common.whole_file import write_whole
from zdc_common.words import counted
from zdc_metrics.reports.plot_style import REFERENCE_COLOR, plot_style, save_figure
from zdc_metrics.scores.report import HEADINGS
from zdc_metrics.statistics.tables import header, number, row, span

from zdc_training.reproduction.few_showers import SCRATCH, SOURCE, TUNED, Result, groups

#: Names of the files, without ending.
TABLE = "few-showers"

_FIGURES = ("dispersion", "auc", "empty_share")
_COLUMNS = ("showers", "training", "sample", "crps", "floor", "ratio", "ratio_low", "ratio_high", *_FIGURES, "seconds")
_NOTE = (
    "CRPS / floor: mean over the samples, with the 90 % bootstrap interval over test particles (means of its ends) "
    "and, with several samples, ± their standard deviation. Showers include those for validation. Zero showers: the "
    "source as it is."
)


def write_table(results: Sequence[Result], folder: Path, source: str) -> Path:
    """Write ``few-showers.csv``, one line per model, ``few-showers.md`` and ``few-showers.png``.

    Parameters
    ----------
    source : Name of the model that was fine-tuned, for the texts.

    Returns
    -------
    The path of the Markdown table.
    """
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(_COLUMNS)
    lines.writerows(_cells(each) for each in results)
    write_whole(folder / f"{TABLE}.csv", text.getvalue())
    one = results[0].report
    lead = (
        f"Source: {source}. {one.overall.particles} test particles, {one.simulated_repeats} simulated and "
        f"{counted(one.generated_repeats, 'generated response')} of each; test file: {one.test_file}."
    )
    path = folder / f"{TABLE}.md"
    write_whole(path, "\n\n".join([lead, "\n".join(_rows(results)), _NOTE]) + "\n")
    save_figure(_drawn(results, source), folder / f"{TABLE}.png")
    return path


def ratios(results: Sequence[Result]) -> tuple[float, float, float]:
    """CRPS over floor of some models, and the ends of its interval: means over the models."""
    figures = [each.report.overall.figures["crps"] for each in results]
    values = [(figure.ratio, *(figure.ratio_interval or ())) for figure in figures]
    value, low, high = (statistics.fmean(float(one) for one in column if one is not None)
                        for column in zip(*values, strict=True))  # fmt: skip
    return value, low, high


def _cells(each: Result) -> list[object]:
    figures = each.report.overall.figures
    crps = figures["crps"]
    found = [crps.value, crps.floor, *ratios([each]), *(figures[name].value for name in _FIGURES), each.seconds]
    shown = ["" if value is None else f"{value:.6g}" for value in found]
    return [each.showers, each.training, each.draw, *shown]


def _rows(results: Sequence[Result]) -> list[str]:
    headings = [HEADINGS[name][0] for name in _FIGURES]
    lines = header("showers", "training", "CRPS / floor", "interval", *headings, "seconds")
    for some in groups(results):
        value, low, high = ratios(some)
        each = [one.report.overall.figures["crps"].ratio for one in some]
        spread = f" ± {statistics.stdev([one for one in each if one is not None]):.2g}" if len(some) > 1 else ""
        others = (_mean(some, name) for name in _FIGURES)
        seconds = statistics.fmean(one.seconds for one in some)
        lines.append(
            row(str(some[0].showers), some[0].training, f"{value:.3f}{spread}", span((low, high)), *others,
                f"{seconds:.0f}")
        )  # fmt: skip
    return lines


def _mean(some: Sequence[Result], name: str) -> str:
    values = [value for each in some if (value := each.report.overall.figures[name].value) is not None]
    return number(statistics.fmean(values) if values else None)


def _drawn(results: Sequence[Result], source: str) -> Figure:
    """CRPS over floor by the number of showers, a line for each training."""
    with plot_style():
        figure = Figure(figsize=(5, 3.6), layout="constrained")
        axes = figure.subplots()
        colors = mpl.colormaps["tab10"].colors  # type: ignore[attr-defined]  # of a listed map
        for training, color in ((SCRATCH, colors[1]), (TUNED, colors[2])):
            points = [(some[0].showers, *ratios(some)) for some in groups(results) if some[0].training == training]
            showers, value, low, high = zip(*points, strict=True)
            errors = [
                [v - e for v, e in zip(value, low, strict=True)],
                [e - v for v, e in zip(value, high, strict=True)],
            ]
            axes.errorbar(showers, value, errors, fmt="o-", capsize=2, color=color, label=training)
        own = ratios([each for each in results if each.training == SOURCE])[0]
        axes.axhline(own, color=colors[7], ls="--", label=f"{source}, as it is")
        axes.axhline(1, color=REFERENCE_COLOR, lw=1, label="floor")
        axes.set_xscale("log")
        axes.set_yscale("log")
        ticks = sorted({each.showers for each in results if each.showers})
        axes.set_xticks(ticks, [str(tick) for tick in ticks], minor=False)
        axes.minorticks_off()
        highest = axes.get_ylim()[1]
        levels = [level for level in (1, 1.1, 1.2, 1.5, 2, 3, 5, 10, 20, 50) if level <= highest]
        axes.set_yticks(levels, [f"{level:g}" for level in levels], minor=False)
        axes.set_xlabel("showers of the changed calorimeter")
        axes.set_ylabel("CRPS / floor")
        axes.legend()
    return figure
