"""Responses shifted so that the impact point is in the centre."""

import numpy as np
from numpy.typing import NDArray
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import Particles


def aligned_mean(responses: NDArray[np.generic], particles: Particles, calorimeter: Calorimeter) -> NDArray[np.float64]:
    """Mean response by distance from the impact point, in whole fibres.

    Parameters
    ----------
    responses : Photons per fibre, shape (N, rows, columns).
    particles : N particles; particles whose straight line misses the face are left out.

    Returns
    -------
    Photons, shape (rows, columns), the impact point's fibre at (rows // 2, columns // 2): the mean over the responses
    that have a fibre at this distance; nan if there is none.
    """
    rows, columns = calorimeter.shape
    total = np.zeros((2 * rows, 2 * columns))
    seen = np.zeros((2 * rows, 2 * columns))
    hit = np.flatnonzero(calorimeter.hits_face(particles.conditions))
    points = calorimeter.impact_points(particles.conditions[hit])
    half = np.array(calorimeter.half_width)
    fibre = np.clip(((points + half) / (2 * half) * calorimeter.shape).astype(int), 0, np.array(calorimeter.shape) - 1)
    for n, (i, j) in zip(hit, fibre, strict=True):
        window = slice(rows - i, 2 * rows - i), slice(columns - j, 2 * columns - j)
        total[window] += responses[n]
        seen[window] += 1
    middle = slice(rows - rows // 2, 2 * rows - rows // 2), slice(columns - columns // 2, 2 * columns - columns // 2)
    with np.errstate(invalid="ignore"):
        mean: NDArray[np.float64] = total[middle] / seen[middle]
    return mean
