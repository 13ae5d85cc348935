"""The symmetries of a calorimeter face: eight if it is square, the first four if it is a rectangle.

Symmetry k of 0 .. 7: transpose (swap x and y) if k & 4, then mirror x if k & 1, then mirror y if k & 2, all about the
centre of the face. Momenta, vertices and the image are transformed together. A mirror of a face with an even number of
fibres exchanges even and odd fibres, so channel sums are computed from the transformed image.
`zdc_training.fast.coarse_frame` maps entry positions to one eighth of a cell, or a quarter, by the same symmetries; a
test compares the two.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import InvalidInputError

from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import PX, PY, VX, VY

_Number = TypeVar("_Number", bound=np.generic)

MIRROR_X, MIRROR_Y, TRANSPOSE = 1, 2, 4
NAMES = (
    "identity",
    "mirror x",
    "mirror y",
    "half turn",
    "transpose",
    "transpose, mirror x",
    "transpose, mirror y",
    "transpose, half turn",
)


def symmetries_of(calorimeter: Calorimeter) -> range:
    """The numbers of the symmetries of a face; a square has as many fibres and the same extent along x and y."""
    rows, columns = calorimeter.shape
    square = rows == columns and calorimeter.half_width[0] == calorimeter.half_width[1]
    return range(len(NAMES) if square else TRANSPOSE)


def turn_conditions(
    conditions: NDArray[np.float32], symmetry: int, centre: tuple[float, float] = (0.0, 0.0)
) -> NDArray[np.float32]:
    """Apply one symmetry about the centre of the face [cm] to momenta and vertices, shape (N, 9)."""
    turned = conditions.copy()
    turned[:, [VX, VY]] -= np.array(centre, dtype=np.float32)
    if symmetry & TRANSPOSE:
        turned[:, [PX, PY, VX, VY]] = turned[:, [PY, PX, VY, VX]]
    if symmetry & MIRROR_X:
        turned[:, [PX, VX]] *= -1
    if symmetry & MIRROR_Y:
        turned[:, [PY, VY]] *= -1
    turned[:, [VX, VY]] += np.array(centre, dtype=np.float32)
    return turned


def turn_points(points: NDArray[np.float64], symmetry: int) -> NDArray[np.float64]:
    """Apply one symmetry to points x, y relative to the centre of the face, shape (N, 2)."""
    turned = points[:, ::-1].copy() if symmetry & TRANSPOSE else points.copy()
    if symmetry & MIRROR_X:
        turned[:, 0] *= -1
    if symmetry & MIRROR_Y:
        turned[:, 1] *= -1
    return turned


def turn_responses(responses: NDArray[_Number], symmetry: int) -> NDArray[_Number]:
    """Apply one symmetry to images, shape (N, rows, columns).

    Raises
    ------
    InvalidInputError : a transpose of an image that is not square.
    """
    if symmetry & TRANSPOSE:
        if responses.shape[1] != responses.shape[2]:
            raise InvalidInputError(
                f"responses of {responses.shape[1:]} cannot be transposed; use mirrors (0 to 3) only"
            )
        responses = responses.swapaxes(1, 2)
    if symmetry & MIRROR_X:
        responses = responses[:, ::-1]
    if symmetry & MIRROR_Y:
        responses = responses[:, :, ::-1]
    return np.array(responses, order="C")


def apply_symmetry(
    conditions: NDArray[np.float32],
    responses: NDArray[np.generic],
    symmetry: int | NDArray[np.integer],
    centre: tuple[float, float] = (0.0, 0.0),
) -> tuple[NDArray[np.float32], NDArray[np.generic]]:
    """Apply symmetries to conditions and images.

    Parameters
    ----------
    conditions : Shape (N, 9).
    responses : Photons per fibre, shape (N, rows, columns).
    symmetry : One of 0 .. 7 for all rows, or one for each row, shape (N,).
    centre : Centre of the face, x and y [cm].

    Returns
    -------
    Copies of both.

    Raises
    ------
    InvalidInputError : a symmetry that is not in 0 .. 7, or a transpose of an image that is not square.
    """
    numbers = np.unique(symmetry)
    if len(numbers) and not 0 <= numbers[0] <= numbers[-1] < len(NAMES):
        raise InvalidInputError(f"symmetries are {numbers.tolist()}; they must be in 0 .. {len(NAMES) - 1}")
    if np.ndim(symmetry) == 0:
        return turn_conditions(conditions, int(numbers[0]), centre), turn_responses(responses, int(numbers[0]))
    turned_conditions, turned_responses = conditions.copy(), responses.copy()
    for number in numbers:
        rows = symmetry == number
        turned_conditions[rows] = turn_conditions(conditions[rows], int(number), centre)
        turned_responses[rows] = turn_responses(responses[rows], int(number))
    return turned_conditions, turned_responses
