"""From the graph's output to photon counts: the `finish` of a model card."""

import math
from collections.abc import Callable
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from zdc_detector.random import poisson, uniforms


class Finish(StrEnum):
    """How rates become what is answered."""

    NONE = "none"
    ROUND = "round"
    POISSON = "poisson"


#: Counts are stored as uint16, as in the Geant4 files; graphs clamp their rates below this.
MAX_COUNT = 65535


def finish_rates(
    rates: NDArray[np.float32], finish: Finish, seed: int, first_row: int
) -> NDArray[np.uint16] | NDArray[np.float32]:
    """Apply a finish to a block of consecutive rows.

    Parameters
    ----------
    rates : Output of the graph, photons per fibre, shape (N, rows, columns).
    finish : ``none`` returns the rates, ``round`` the nearest integers (ties to even), ``poisson`` one draw per fibre.
    seed, first_row : Key and first row of the block's random stream (used by ``poisson`` only).

    Returns
    -------
    float32 rates or uint16 counts, shape of `rates`.
    """
    return finish_drawn(rates, finish, lambda size: uniforms(seed, first_row, len(rates), size))


def finish_drawn(
    rates: NDArray[np.float32], finish: Finish, draw: Callable[[int], NDArray[np.float64]]
) -> NDArray[np.uint16] | NDArray[np.float32]:
    """`finish_rates` for rows that need not be consecutive.

    Parameters
    ----------
    rates, finish : As there.
    draw : Called with the number of fibres where random numbers are needed; gives the rows' numbers of
        `FINISH_STREAM` in (0, 1), shape (N, fibres).
    """
    if finish is Finish.NONE:
        return rates
    if finish is Finish.ROUND:
        return np.minimum(np.rint(rates), MAX_COUNT).astype(np.uint16)
    flat = rates.reshape(len(rates), math.prod(rates.shape[1:]))
    counts = poisson(flat, draw(flat.shape[1]))
    return np.minimum(counts, MAX_COUNT).astype(np.uint16).reshape(rates.shape)
