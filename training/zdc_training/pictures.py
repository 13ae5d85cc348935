"""Pictures of generated beside simulated responses, as files of a run."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import Particles
from zdc_metrics import face_pictures
from zdc_metrics.plot_style import save_figure
from zdc_metrics.quantities import measure_sums
from zdc_metrics.ratio_panels import draw_histograms

_NAMES = ("Geant4", "generated")


def draw_responses(
    path: Path,
    simulated: NDArray[np.integer],
    generated: NDArray[np.integer],
    particles: Particles,
    calorimeter: Calorimeter,
) -> None:
    """Particles with simulated and generated responses, see `zdc_metrics.face_pictures.draw_responses`."""
    save_figure(face_pictures.draw_responses(simulated, generated, particles, calorimeter, names=_NAMES), path)


def draw_distributions(
    path: Path, simulated: NDArray[np.integer], generated: NDArray[np.integer], calorimeter: Calorimeter
) -> None:
    """Distributions of the photon sum and the channels over all showers, and generated / simulated below each.

    Parameters
    ----------
    simulated, generated : Photons per fibre, shapes (P, R, rows, columns) and (P, G, rows, columns).
    """
    first, second = (
        measure_sums(responses.reshape(-1, *calorimeter.shape), calorimeter) for responses in (simulated, generated)
    )
    save_figure(draw_histograms({name: (values, second[name]) for name, values in first.items()}, _NAMES), path)
