"""The result of an evaluation: figures with floors and intervals, as JSON and as tables."""

import math

import numpy as np
from pydantic import Field
from zdc_common.frozen import Frozen
from zdc_detector.card import Metric

from zdc_metrics.scores.bins import Bins
from zdc_metrics.scores.coverage import NEIGHBOURS
from zdc_metrics.scores.separation import BINS
from zdc_metrics.statistics.bootstrap import LEVEL, Resampled, interval
from zdc_metrics.statistics.splits import sample_size
from zdc_metrics.statistics.tables import Interval, header, number, row, span

#: Name in reports and cards -> heading and the value of a perfect generator.
HEADINGS = {
    "wasserstein": ("Wasserstein [photons]", "the floor"),
    "mae": ("MAE [photons]", "the floor, but a generator without spread gets less"),
    "crps": ("CRPS [photons]", "the floor, which is the minimum"),
    "dispersion": ("Dispersion", "1"),
    "empty_share": ("Empty share", "the simulated share, given as the floor"),
    "auc": ("Classifier AUC", "0.5"),
    "neural_auc": ("Neural classifier AUC", "0.5"),
    "neural_jsd": ("Neural classifier JSD", "0"),
    "frechet": ("Fréchet distance", "0"),
    "precision": ("Precision", "the floor, but a generator of average showers gets more"),
    "recall": ("Recall", "the floor"),
    "density": ("Density", "the floor, but a generator of average showers gets more"),
    "coverage": ("Coverage", "the floor"),
    "separation_photon_sum": ("Separation, photon sum", "the floor"),
    "separation_centroid": ("Separation, centroid", "the floor"),
    "separation_width": ("Separation, width", "the floor"),
    "separation_lit_fibres": ("Separation, lit fibres", "the floor"),
}
WITHOUT_RATIO = ("dispersion", "auc", "neural_auc", "neural_jsd", "frechet")  # these are compared with 1, 0.5 and 0
#: Note below the table on the figures after the first six.
_NOTES = (
    "{} in physics features (photon sum, sum / energy, centroid minus impact point, widths, lit "
    "fibres, single photons, ten brightest fibres): Fréchet distance in squared standard deviations, extrapolated to "
    "infinite samples, and possibly below 0; precision, recall, density and coverage with "
    f"{NEIGHBOURS} neighbours; separation powers of histograms of {BINS} bins, with the same bias from small samples "
    "as the floor. The neural classifier is calibrated by isotonic regression; its JSD (1 for disjoint samples) is "
    "below 0 if small samples make its probabilities worse than guessing. Intervals of the classifiers do not include "
    "the noise of training."
)
_BEFORE_NOTES = 6
_ACROSS = 6  # figures in a table of groups


class Figure(Frozen):
    """One figure of merit; None if undefined for the group (too few particles, a floor of zero)."""

    value: float | None
    interval: Interval | None
    floor: float | None = Field(description="the same figure, simulated against simulated")
    floor_interval: Interval | None
    ratio: float | None = Field(description="value / floor")
    ratio_interval: Interval | None
    if_right: Interval | None = Field(
        None, description="of dispersion: range of 90 % of its values if the simulation were the generator itself"
    )

    @property
    def cells(self) -> tuple[str, ...]:
        """Value, floor and ratio, each with its interval."""
        sides = number(self.value), span(self.interval), number(self.floor), span(self.floor_interval)
        return (*sides, number(self.ratio), span(self.ratio_interval))

    @classmethod
    def from_resampled(cls, name: str, found: Resampled) -> "Figure":
        """Intervals from resamples that were drawn jointly for the figure and its floor."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = float(np.float64(found.value) / found.floor)
            ratios = found.values / found.floors
        has_ratio = name not in WITHOUT_RATIO and math.isfinite(ratio)
        return cls(
            value=_defined(found.value),
            interval=interval(found.value, found.values, found.recentre),
            floor=_defined(found.floor),
            floor_interval=interval(found.floor, found.floors, found.recentre),
            ratio=ratio if has_ratio else None,
            ratio_interval=interval(ratio, ratios, found.recentre) if has_ratio else None,
        )


def _defined(value: float) -> float | None:
    return value if math.isfinite(value) else None


class Group(Frozen):
    """The figures of one group of particles."""

    name: str
    particles: int
    figures: dict[str, Figure]


class Report(Frozen):
    """Figures over all particles, per species and per energy.

    Attributes
    ----------
    finish : The finish that made counts of the generated rates; it influences every figure.
    simulated_repeats, generated_repeats : Responses per particle.
    seed, resamples : Seed and number of resamples of the bootstrap.
    groups : All particles first.
    bins : Photon sums by species and energy.
    simulation : Name of the simulation.
    notes : Further sentences on the samples.
    test_file, test_sha256 : Name and hash of the file of simulations, if they came from one.
    """

    finish: str
    simulated_repeats: int
    generated_repeats: int
    seed: int
    resamples: int
    level: float = LEVEL
    groups: tuple[Group, ...]
    bins: Bins | None = None
    simulation: str = "simulation"
    notes: tuple[str, ...] = ()
    test_file: str = ""
    test_sha256: str = ""

    @property
    def overall(self) -> Group:
        """The group of all particles."""
        return self.groups[0]

    def card_metrics(self) -> dict[str, Metric]:
        """The figures of all particles for a model card."""
        entries = {}
        for name, figure in self.overall.figures.items():
            if figure.value is None or figure.floor is None or figure.interval is None:
                continue
            entries[name] = Metric(
                value=figure.value,
                floor=figure.floor,
                interval=figure.interval,
                ratio=figure.ratio,
                ratio_interval=figure.ratio_interval,
            )
        return entries

    def _remarks(self) -> list[str]:
        """Remarks on the samples, each after an empty line."""
        remarks = list(self.notes)
        if self.simulated_repeats == 1:
            remarks.append(
                "There is no floor: it needs at least two simulations of each particle. Without a floor, compare the "
                "CRPS and the MAE of models on this file, the empty share together with the simulated one, the AUC of "
                "the classifiers with 0.5 and the Fréchet distance with 0. Of these figures only the CRPS depends on "
                "the spread of a particle's responses."
            )
        elif sample_size(self.simulated_repeats) == 1:
            remarks.append(
                f"With {self.simulated_repeats} simulations of each particle, one is compared with one: distances and "
                "floors are larger than for two against two, and cannot be compared with them."
            )
        return [line for remark in remarks for line in ("", remark)]

    def _features_note(self) -> str:
        two = sample_size(self.simulated_repeats) > 1
        return _NOTES.format("Two repeats against two," if two else "One repeat against one,")

    def to_markdown(self) -> str:
        """The overall figures, one line per group, and the bins, as Markdown tables."""
        lines = [
            f"{self.overall.particles} particles, {self.simulated_repeats} simulated and {self.generated_repeats} "
            f"generated responses of each; finish: {self.finish}; {self.level:.0%} bootstrap intervals over "
            f"particles ({self.resamples} resamples).",
            *self._remarks(),
            "",
            *header("figure", "generated", "interval", "floor", "interval", "ratio", "interval", "if right"),
        ]
        for name, f in self.overall.figures.items():
            heading, best = HEADINGS[name]
            if f.floor is None and best.startswith("the floor"):
                best = "no floor; compare models on this file"
            if f.if_right is not None:
                best += f"; {span(f.if_right)} in {self.level:.0%} of such samples"
            lines.append(row(heading, *f.cells, best))
        names = list(self.overall.figures)
        lines += ["", self._features_note()] if names[_BEFORE_NOTES:] else []
        lines += [
            "",
            "Generated / floor (interval of the generated figure; for dispersion its range if it were right):",
        ]
        for columns in (names[i : i + _ACROSS] for i in range(0, len(names), _ACROSS)):
            lines += ["", *header("particles", "n", *(HEADINGS[name][0] for name in columns))]
            for group in self.groups:
                cells = (_brief(group.figures.get(name)) for name in columns)
                lines.append(row(group.name, str(group.particles), *cells))
        bins = ["", self.bins.to_markdown().rstrip("\n")] if self.bins else []
        return "\n".join([*lines, *bins]) + "\n"


def _brief(figure: Figure | None) -> str:
    if figure is None:
        return "–"
    if_right = "" if figure.if_right is None else f", if right {span(figure.if_right)}"
    return f"{number(figure.value)} / {number(figure.floor)} {span(figure.interval)}{if_right}"
