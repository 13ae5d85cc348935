"""Cherenkov light of charged tracks in a fibre, and the share of it that the fibre guides to its end.

A step of length L at speed beta gives 370 / (eV cm) * W * L * sin^2(theta_c) photons in a window of energies of width W
(Frank and Tamm; PDG, "Passage of particles through matter", eq. 34.45), with cos(theta_c) = 1 / (n beta). A photon at
the angle alpha to the axis that starts at a distance y of its plane from the axis is guided if

    sin^2(alpha) (1 - y^2 / R^2) <= (NA / n)^2,

which is the condition of total reflection for meridional and skew rays of a step-index fibre (Snyder and Love, "Optical
Waveguide Theory", 1983, ch. 2). The share is the mean over the fibre's disc and over the azimuth of the photon around
the track. The light is read at the far end, z > 0, and not attenuated.

Only very skew rays of tracks at small angles to the fibre are guided, and they are lost after many reflections. The
light tables of ALICE O2 have no light below 3 degrees, and light that is constant per crossing of a fibre, not per
length, up to 20 degrees. `minimum_angle` and `skew_angle` of a set-up describe this: below `skew_angle`, the light per
length is multiplied by sin(angle) / sin(skew_angle).
"""

import numpy as np
from numpy.typing import NDArray

from zdc_training.simulator.primaries import MM_PER_CM
from zdc_training.simulator.set_up import Light, SetUp

#: Photons per eV and cm for sin^2(theta_c) = 1.
FRANK_TAMM = 370.0
#: Columns of a step: x, y, z [mm], cosine of the track's angle to z, beta, length [mm].
STEP_X, STEP_Y, STEP_Z, STEP_COSINE, STEP_BETA, STEP_LENGTH = range(6)

_ANGLE_STEPS = 181  # one degree
_BETA_STEPS = 32
_AZIMUTHS = 720


class LightTable:
    """Photons that are counted per mm of track, on a grid of angle and speed with linear interpolation."""

    def __init__(self, light: Light):
        self._light = light
        self._slowest = 1 / light.refractive_index
        angles = np.linspace(0, np.pi, _ANGLE_STEPS)
        betas = np.linspace(self._slowest, 1, _BETA_STEPS)
        per_mm = FRANK_TAMM * 0.1 * light.energy_window * light.scale
        self._table = per_mm * np.array([[self._captured(angle, beta) for beta in betas] for angle in angles])

    def _captured(self, angle: float, beta: float) -> float:
        """sin^2(theta_c) times the share of the photons that are guided."""
        n = self._light.refractive_index
        cosine = min(1.0, 1 / (n * beta))
        sine = np.sqrt(1 - cosine**2)
        azimuth = (np.arange(_AZIMUTHS) + 0.5) * (2 * np.pi / _AZIMUTHS)
        along = np.cos(angle) * cosine + np.sin(angle) * sine * np.cos(azimuth)
        across = np.sqrt(np.clip(1 - along**2, 1e-12, 1))
        # Share of a disc of radius 1 with |y| >= y0.
        y0 = np.sqrt(np.clip(1 - (self._light.numerical_aperture / (n * across)) ** 2, 0, 1))
        guided = 1 - (2 / np.pi) * (y0 * np.sqrt(1 - y0**2) + np.arcsin(y0))
        return float(sine**2 * np.mean(np.where(self._arrives(along, across), guided, 0)))

    def _arrives(self, along: NDArray[np.float64], across: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether a guided photon gets to the photomultiplier, from its direction along and across the fibre."""
        del across
        forward: NDArray[np.bool_] = along > 0
        return forward

    def photons(self, steps: NDArray[np.float64]) -> NDArray[np.float64]:
        """Expected photons of each step, shape (N,).

        Parameters
        ----------
        steps : Columns x, y, z [mm], cosine of the angle to z, beta, length [mm], shape (N, 6).
        """
        angle = np.degrees(np.arccos(np.clip(steps[:, STEP_COSINE], -1, 1)))
        i = np.minimum(angle.astype(np.intp), _ANGLE_STEPS - 2)
        a = angle - i
        speed = (steps[:, STEP_BETA] - self._slowest) / (1 - self._slowest) * (_BETA_STEPS - 1)
        j = np.clip(speed.astype(np.intp), 0, _BETA_STEPS - 2)
        b = speed - j
        table = self._table
        value = (table[i, j] * (1 - a) + table[i + 1, j] * a) * (1 - b)
        value += (table[i, j + 1] * (1 - a) + table[i + 1, j + 1] * a) * b
        if self._light.skew_angle:
            value *= np.minimum(1, np.sin(np.radians(angle)) / np.sin(np.radians(self._light.skew_angle)))
        shines = (speed > 0) & (angle >= self._light.minimum_angle)
        photons: NDArray[np.float64] = np.where(shines, value * steps[:, STEP_LENGTH], 0)
        return photons


class FibreLight:
    """From the steps of a shower to the expected photons of each fibre."""

    def __init__(self, set_up: SetUp):
        self._table = LightTable(set_up.light)
        self._shape = set_up.calorimeter.shape
        self._half = [MM_PER_CM * half for half in set_up.calorimeter.half_width]

    def rates(self, steps: NDArray[np.float64]) -> NDArray[np.float32]:
        """Expected photons of each fibre, in the order of the flattened image, shape (fibres,).

        Parameters
        ----------
        steps : Columns of `zdc_training.simulator.light`, shape (N, 6).
        """
        cells = [
            np.clip(np.floor((steps[:, column] + half) * (number / (2 * half))), 0, number - 1).astype(np.intp)
            for column, half, number in zip((STEP_X, STEP_Y), self._half, self._shape, strict=True)
        ]
        rows, columns = self._shape
        light = np.bincount(cells[0] * columns + cells[1], self._table.photons(steps), minlength=rows * columns)
        return light.astype(np.float32)
