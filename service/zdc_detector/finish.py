"""The finish of a model card: from the rates of the graph to photon counts."""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import ModelError

from zdc_detector.calorimeter import Calorimeter
from zdc_detector.random import block_keys, poisson_of


class Finish(StrEnum):
    """How the rates of the graph become photon counts."""

    NONE = "none"
    ROUND = "round"
    POISSON = "poisson"


#: Largest count: counts are stored as uint16, as in the Geant4 files. Graphs limit their rates to less.
MAX_COUNT = 65535


def finish_rates(
    rates: NDArray[np.float32], finish: Finish, seed: int, first_row: int
) -> NDArray[np.uint16] | NDArray[np.float32]:
    """Apply a finish to a block of consecutive rows.

    Parameters
    ----------
    rates : Output of the graph, photons per fibre, shape (N, rows, columns).
    finish : ``none`` returns the rates, ``round`` the nearest integers (half to even), ``poisson`` draws one count per
        fibre from the Poisson distribution with this rate.
    seed, first_row : Key and first row of the block's random stream (used by ``poisson`` only).

    Returns
    -------
    float32 rates or uint16 counts, shape of `rates`.
    """
    return finish_rows(rates, finish, *block_keys(seed, first_row, len(rates)))


def finish_rows(
    rates: NDArray[np.float32], finish: Finish, seeds: NDArray[np.uint64], rows: NDArray[np.uint64]
) -> NDArray[np.uint16] | NDArray[np.float32]:
    """As `finish_rates`, for rows with any numbers and seeds.

    Parameters
    ----------
    rates, finish : As in `finish_rates`.
    seeds, rows : Key and number of each row, uint64, shape (N,).
    """
    if finish is Finish.NONE:
        return rates
    if finish is Finish.ROUND:
        return np.minimum(np.rint(rates), MAX_COUNT).astype(np.uint16)
    return poisson_of(rates, seeds, rows, MAX_COUNT)[0]


def finish_and_sum(
    rates: NDArray[np.float32],
    finish: Finish,
    seeds: NDArray[np.uint64],
    rows: NDArray[np.uint64],
    calorimeter: Calorimeter,
) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """`finish_rows`, and `Calorimeter.channel_sums` of its result; in one pass if the finish is ``poisson``.

    Raises
    ------
    ModelError : a rate is not finite.
    """
    if finish is Finish.POISSON:
        channels = len(calorimeter.channel_names)
        return poisson_of(rates, seeds, rows, MAX_COUNT, calorimeter.channel_of_fibre, channels)
    if not np.isfinite(rates.sum()):
        raise ModelError("rates that are not finite")
    images = finish_rows(rates, finish, seeds, rows)
    return images, calorimeter.channel_sums(images)
