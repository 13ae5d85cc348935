"""Figures of merit of generated responses, each with its floor.

The floor of a figure is the same figure between two independent simulations of the same particles, at the same sample
size. `evaluate` computes all figures. Their definitions are in `distances` (Wasserstein, MAE, CRPS, dispersion, empty
share), `classifier`, `neural`, `frechet`, `coverage`, `separation` and, by species and energy, `bins`.
"""

from zdc_metrics.samples.grouping import RepeatedShowers, by_particle
from zdc_metrics.scores.bins import Bin, Bins, Comparison
from zdc_metrics.scores.evaluate import evaluate
from zdc_metrics.scores.report import Figure, Group, Report
from zdc_metrics.statistics.distances import (
    channel_wasserstein,
    dispersion,
    empty_share,
    fair_crps,
    mean_absolute_error,
)

__all__ = [
    "Bin",
    "Bins",
    "Comparison",
    "Figure",
    "Group",
    "RepeatedShowers",
    "Report",
    "by_particle",
    "channel_wasserstein",
    "dispersion",
    "empty_share",
    "evaluate",
    "fair_crps",
    "mean_absolute_error",
]
