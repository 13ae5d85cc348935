"""From the graph's output to photon counts: the `finish` of a model card."""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import ModelError

from zdc_detector.calorimeter import Calorimeter
from zdc_detector.random import block_keys, poisson_of


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
    return finish_rows(rates, finish, *block_keys(seed, first_row, len(rates)))


def finish_rows(
    rates: NDArray[np.float32], finish: Finish, seeds: NDArray[np.uint64], rows: NDArray[np.uint64]
) -> NDArray[np.uint16] | NDArray[np.float32]:
    """`finish_rates` for rows that need not be consecutive, or of one seed.

    Parameters
    ----------
    rates, finish : As there.
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
    """`finish_rows` and `Calorimeter.channel_sums` of its result, in one pass where that is possible.

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
