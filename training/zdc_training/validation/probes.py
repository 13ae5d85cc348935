"""Probes: where the light of a shower is made, and how much it is with other models of light.

All models of light see the same steps; their ratios therefore have almost no statistical error.
"""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zdc_training.simulator.light import STEP_X, STEP_Y, STEP_Z, LightTable
from zdc_training.simulator.primaries import MM_PER_CM, Primary
from zdc_training.simulator.set_up import Light, SetUp
from zdc_training.simulator.tasks import Shower, Task
from zdc_training.simulator.worker import Answer

#: Edges of the depth [cm]; steps beyond the last edge are in no bin.
DEPTH_EDGES = np.arange(0.0, 301.0, 2.0)
#: Edges of the distance to the line of the particle, and of the half side of a square around it [cm].
DISTANCE_EDGES = np.concatenate([np.arange(0.0, 2.0, 0.08), np.arange(2.0, 12.01, 0.16)])


def light_variants(light: Light) -> dict[str, LightTable]:
    """Tables of light with one change each; the first one is the set-up's."""
    changes: dict[str, dict[str, float]] = {
        "as set up": {},
        "no rules for small angles": {"minimum_angle": 0.0, "skew_angle": 0.0},
        "dark below 3 degrees, no other rule": {"minimum_angle": 3.0, "skew_angle": 0.0},
        "numerical aperture +10 %": {"numerical_aperture": 1.1 * light.numerical_aperture},
        "numerical aperture -10 %": {"numerical_aperture": 0.9 * light.numerical_aperture},
        "refractive index +0.01": {"refractive_index": light.refractive_index + 0.01},
        "light scale +10 %": {"scale": 1.1 * light.scale},
    }
    tables: dict[str, LightTable] = {what: LightTable(light.model_copy(update=each)) for what, each in changes.items()}
    without = light.model_copy(update={"minimum_angle": 0.0, "skew_angle": 0.0})
    return tables | {"reflection at the fibre's end instead of the rules": EndFaceTable(without)}


class EndFaceTable(LightTable):
    """Light of which only that leaves the fibre's end to air which is not totally reflected there: sin(alpha) <= 1 / n.

    This is where the rules for small angles come from. A fast track along the fibre has light at 47 degrees to it, and
    in quartz the limit is 43 degrees.
    """

    def _arrives(self, along: NDArray[np.float64], across: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether a guided photon leaves the fibre."""
        leaves: NDArray[np.bool_] = (along > 0) & (across * self._light.refractive_index <= 1)
        return leaves


@dataclass(frozen=True)
class Probe(Shower):
    """Expected light of one shower, and where it is made.

    Attributes
    ----------
    light : Expected photons for each of `light_variants`, shape (V,).
    depth : Expected photons by depth, bins of `DEPTH_EDGES`.
    radius, square : Expected photons by distance to the line of the particle, and by the half side of the square around
        it, bins of `DISTANCE_EDGES`.
    """

    light: NDArray[np.float64]
    depth: NDArray[np.float32]
    radius: NDArray[np.float32]
    square: NDArray[np.float32]


def probe_of(set_up: SetUp) -> Answer:
    """The answer of the validation's workers."""
    tables = list(light_variants(set_up.light).values())

    def answer(task: Task, steps: NDArray[np.float64], started: float) -> Probe:
        light = [table.photons(steps) for table in tables]
        across = np.abs(_from_line(task.primary, steps)) / MM_PER_CM
        radius, square = np.hypot(across[:, 0], across[:, 1]), across.max(axis=1, initial=0)
        profiles = (
            (steps[:, STEP_Z] / MM_PER_CM, DEPTH_EDGES),
            (radius, DISTANCE_EDGES),
            (square, DISTANCE_EDGES),
        )
        return Probe(
            task.row,
            np.zeros(0, dtype=np.uint32),
            np.zeros(0, dtype=np.float32),
            time.process_time() - started,
            np.array([photons.sum() for photons in light]),
            *(np.histogram(at, edges, weights=light[0])[0].astype(np.float32) for at, edges in profiles),
        )

    return answer


def _from_line(primary: Primary, steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Steps minus the particle's straight line at their depth [mm], shape (N, 2)."""
    place, direction = np.array(primary.position), np.array(primary.direction)
    slope = direction[:2] / direction[2]
    line = place[:2] + (steps[:, STEP_Z] - place[2])[:, None] * slope
    difference: NDArray[np.float64] = steps[:, [STEP_X, STEP_Y]] - line
    return difference
