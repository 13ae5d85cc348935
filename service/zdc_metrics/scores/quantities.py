"""Quantities of a shower, for histograms."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import ENERGY
from zdc_detector.showers import Showers

from zdc_metrics.scores.classifier import FEATURES, shower_features

_BLOCK = 4096  # rows converted to floats at a time


@dataclass(frozen=True)
class Quantity:
    """A quantity of a shower.

    Attributes
    ----------
    name : Name in JSON.
    label, unit : Label and unit of the axis; a pure number has no unit.
    kind : ``counts`` are integers and span decades; ``energies`` span decades; ``lengths`` scatter around a centre.
    """

    name: str
    label: str
    unit: str
    kind: Literal["counts", "energies", "lengths"]

    @property
    def axis(self) -> str:
        """Label with the unit."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label


#: The columns of `zdc_metrics.scores.classifier.shower_features` in histograms.
_SHAPES = (
    Quantity("lit_fibres", "lit fibres", "", "counts"),
    Quantity("centroid_x_minus_impact", "centroid x - impact point", "cm", "lengths"),
    Quantity("centroid_y_minus_impact", "centroid y - impact point", "cm", "lengths"),
    Quantity("width_x", "width in x", "cm", "lengths"),
    Quantity("width_y", "width in y", "cm", "lengths"),
    Quantity("brightest_1", "brightest fibre", "photons", "counts"),
)

Measured = dict[Quantity, NDArray[np.float64]]


def measure(showers: Showers) -> Measured:
    """`measure_sums`, lit fibres, brightest fibre, centroids from the impact point, widths; each of shape (N,).

    Centroids and widths of an empty response are nan. At the impact point the straight line of the particle meets the
    face.
    """
    calorimeter = showers.calorimeter
    blocks = []
    for start in range(0, len(showers), _BLOCK):
        rows = slice(start, start + _BLOCK)
        features = shower_features(showers.responses[rows], showers.particles.conditions[rows], calorimeter)
        blocks.append(features[:, [FEATURES.index(shape.name) for shape in _SHAPES]].astype(np.float64))
    shapes = dict(zip(_SHAPES, np.concatenate(blocks).T, strict=True))
    return {**measure_sums(showers.responses, calorimeter), **shapes}


def measure_sums(responses: NDArray[np.generic], calorimeter: Calorimeter) -> Measured:
    """Photon sum and channels of responses of shape (N, rows, columns)."""
    total = responses.sum(axis=(1, 2), dtype=np.float64)
    channels = calorimeter.channel_sums(responses).astype(np.float64)
    named = (Quantity(name, _channel(name), "photons", "counts") for name in calorimeter.channel_names)
    return {
        Quantity("photon_sum", "photon sum", "photons", "counts"): total,
        **dict(zip(named, channels.T, strict=True)),
    }


def measure_particles(showers: Showers) -> Measured:
    """Energy and impact point of the particles, which should be the same in both samples."""
    conditions = showers.particles.conditions
    x, y = showers.calorimeter.impact_points(conditions).T
    return {
        Quantity("energy", "energy", "GeV", "energies"): conditions[:, ENERGY].astype(np.float64),
        Quantity("impact_x", "impact point x", "cm", "lengths"): x,
        Quantity("impact_y", "impact point y", "cm", "lengths"): y,
    }


def _channel(name: str) -> str:
    number = name.removeprefix("tower")
    return f"tower {number}" if number.isdigit() else f"{name} channel"
