"""Table 1 of the paper on calorimeter data: comparison of conditional models, with several trainings of each."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure as Drawing
from zdc_common.whole_file import write_whole
from zdc_common.words import counted
from zdc_metrics.reports.plot_style import REFERENCE_COLOR, plot_style
from zdc_metrics.scores.report import HEADINGS, WITHOUT_RATIO, Figure
from zdc_metrics.statistics.tables import header, number, row

from zdc_training.reproduction.runs import Finished

#: Columns of the table: the two figures of the paper, and those that are needed to interpret them.
FIGURES = ("mae", "wasserstein", "crps", "dispersion", "empty_share", "auc")
#: Order of the models in the paper, from best to worst. With other data, only this order can be compared.
PAPER_ORDER: Mapping[str, tuple[str, ...]] = {
    "mae": ("cond e2eSAE", "cond VAE", "cond WAE (MMD)", "cond DCGAN"),
    "wasserstein": ("cond DCGAN", "cond e2eSAE", "cond VAE", "cond WAE (MMD)"),
}


class Table1:
    """Figures of merit of each model, averaged over its trainings.

    Attributes
    ----------
    labels : Models in the order of the table.
    """

    def __init__(self, finished: Sequence[Finished]):
        """Several runs of each model, all evaluated on one file."""
        self.finished = finished
        self.labels = tuple(dict.fromkeys(each.entry.label for each in finished))

    def values(self, label: str, name: str) -> list[float]:
        """The values of a figure for all trainings of a model."""
        found = (each.report.overall.figures[name].value for each in self.finished if each.entry.label == label)
        return [value for value in found if value is not None]

    def floor(self, name: str) -> Figure:
        """A figure with its floor, which is the same for all runs."""
        return self.finished[0].report.overall.figures[name]

    def order(self, name: str) -> tuple[str, ...]:
        """Models ordered by the mean of a figure, best first; without models for which it could not be computed."""
        best = {"dispersion": 1.0, "auc": 0.5, "empty_share": self.floor("empty_share").floor or 0.0}
        target = best.get(name)

        def badness(label: str) -> float:
            mean = statistics.fmean(self.values(label, name))
            return mean if target is None else abs(mean - target)

        return tuple(sorted((label for label in self.labels if self.values(label, name)), key=badness))

    def head(self) -> list[str]:
        """Headings of the columns."""
        return ["model", *(HEADINGS[name][0] for name in FIGURES), "seconds per epoch", "epochs"]

    def rows(self) -> list[list[str]]:
        """One line per model, mean ± standard deviation over its trainings; the last line is the floor."""
        lines = []
        for label in self.labels:
            some = [each for each in self.finished if each.entry.label == label]
            seconds = statistics.median(each.seconds for each in some)
            cells = (self._cell(label, name) for name in FIGURES)
            lines.append([label, *cells, f"{seconds:.1f}", str(some[0].epochs)])
        floors = [number(self.floor(name).floor) for name in FIGURES]
        return [*lines, [self._floor_label(), *floors, number(None), number(None)]]

    def _floor_label(self) -> str:
        name = self.finished[0].report.simulation
        return f"{name} against {name}"

    def _cell(self, label: str, name: str) -> str:
        values = self.values(label, name)
        if not values:
            return number(None)
        spread = f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else ""
        mean, floor = statistics.fmean(values), self.floor(name).floor
        ratio = "" if name in (*WITHOUT_RATIO, "empty_share") or not floor else f" ({mean / floor:.2f} of the floor)"
        return f"{number(mean)}{spread}{ratio}"

    def verdicts(self) -> list[str]:
        """Our order of the models and the paper's, one line per figure."""
        lines = []
        for name, paper in PAPER_ORDER.items():
            ours = tuple(label for label in self.order(name) if label in paper)
            theirs = tuple(label for label in paper if label in ours)
            same = "as in the paper" if ours == theirs else f"the paper has {' < '.join(theirs)}"
            lines.append(f"{HEADINGS[name][0]}: {' < '.join(ours)}; {same}.")
        lines.append(f"{HEADINGS['crps'][0]}: {' < '.join(self.order('crps'))}; not in the paper.")
        return lines

    def lead(self) -> str:
        """The caption of the table."""
        one = self.finished[0].report
        seeds = len({each.seed for each in self.finished})
        return (
            f"{one.overall.particles} particles of the test set, {one.simulated_repeats} simulated and "
            f"{one.generated_repeats} generated responses of each; finish: {one.finish}; mean ± standard "
            f"deviation over {counted(seeds, 'training')}. Test file: {one.test_file} ({one.simulation}). "
            "The data are not those of the paper, so the figures cannot be compared with the paper's."
        )

    def write(self, folder: Path) -> None:
        """Write ``table1.json`` and ``table1.md``."""
        tree = {
            "figures": {
                label: {name: self.values(label, name) for name in FIGURES} for label in self.labels
            },
            "floor": {name: self.floor(name).floor for name in FIGURES},
            "order": {name: self.order(name) for name in FIGURES},
            "runs": {
                f"{each.entry.config}-seed{each.seed}": {"seconds_an_epoch": each.seconds, "epochs": each.epochs}
                for each in self.finished
            },
        }  # fmt: skip
        write_whole(folder / "table1.json", json.dumps(tree, indent=1) + "\n")
        lines = [*header(*self.head()), *(row(*cells) for cells in self.rows())]
        write_whole(folder / "table1.md", "\n\n".join([self.lead(), "\n".join(lines), *self.verdicts()]) + "\n")

    def draw(self) -> Drawing:
        """One panel per figure of merit: a point for each training, a line for the floor."""
        with plot_style():
            figure = Drawing(figsize=(10, 4.6), layout="constrained")
            colors = mpl.colormaps["tab10"].colors  # type: ignore[attr-defined]  # of a listed map
            for axes, name in zip(figure.subplots(2, 3).flat, FIGURES, strict=True):
                for place, label in enumerate(self.labels):
                    values = self.values(label, name)
                    axes.plot(values, [place] * len(values), "o", color=colors[place + 1], alpha=0.8)
                floor = self.floor(name).floor
                if floor is not None:
                    axes.axvline(floor, color=REFERENCE_COLOR, lw=1, label=self._floor_label())
                axes.set_yticks(range(len(self.labels)), self.labels)
                axes.set_ylim(len(self.labels) - 0.5, -0.5)
                axes.set_title(HEADINGS[name][0])
                axes.margins(x=0.08)
            figure.legend(*axes.get_legend_handles_labels(), loc="outside lower right")
        return figure
