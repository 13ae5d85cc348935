"""Pictures of simulated and generated responses, as files of a run."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import Particles
from zdc_metrics.reports import face_pictures
from zdc_metrics.reports.plot_style import save_figure
from zdc_metrics.reports.ratio_panels import draw_histograms
from zdc_metrics.scores.quantities import measure_sums

_GENERATED = "generated"


def draw_responses(
    path: Path,
    simulated: NDArray[np.integer],
    generated: NDArray[np.integer],
    particles: Particles,
    calorimeter: Calorimeter,
    simulation: str,
) -> None:
    """Particles with simulated and generated responses, see `zdc_metrics.reports.face_pictures.draw_responses`."""
    names = simulation, _GENERATED
    save_figure(face_pictures.draw_responses(simulated, generated, particles, calorimeter, names=names), path)


def draw_distributions(
    path: Path,
    simulated: NDArray[np.integer],
    generated: NDArray[np.integer],
    calorimeter: Calorimeter,
    simulation: str,
) -> None:
    """Distributions of the photon sum and the channels over all showers, and generated / simulated below each.

    Parameters
    ----------
    simulated, generated : Photons per fibre, shapes (P, R, rows, columns) and (P, G, rows, columns).
    simulation : Name of the simulation.
    """
    first, second = (
        measure_sums(responses.reshape(-1, *calorimeter.shape), calorimeter) for responses in (simulated, generated)
    )
    both = {name: (values, second[name]) for name, values in first.items()}
    save_figure(draw_histograms(both, (simulation, _GENERATED)), path)
