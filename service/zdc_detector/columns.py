"""Columns of numbers from arrays and tables of other libraries; missing values are detected."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import InvalidInputError

#: Kinds of types that are refused: complex numbers, times and records. NumPy would convert some and lose information.
_NO_NUMBERS = "cmMV"


def as_column(name: str, values: Any) -> NDArray[Any]:
    """The values as a plain NumPy array; a column has the shape (N,).

    Parameters
    ----------
    name : Name of the column, for messages.
    values : A list, an array, or a column of pandas, polars, pyarrow, awkward or astropy.

    Raises
    ------
    InvalidInputError : a value is missing (masked, null, NA or None), or the values are not numbers.
    """
    if type(values) is np.ndarray and values.dtype.kind in "iuf":
        return values
    try:
        array, missing = _array_of(values), _nulls_of(values)
    except (TypeError, ValueError) as error:  # lists of different lengths, or a lazy table
        raise InvalidInputError(f"{name} must be a column of numbers: {str(error)[:100]}") from error
    if isinstance(array, np.ma.MaskedArray):
        missing = np.ma.getmaskarray(array)
    plain: NDArray[Any] = np.asarray(array)
    if plain.dtype.kind == "O" and missing is None:
        missing = np.array([_is_missing(value) for value in plain.ravel()], dtype=bool).reshape(plain.shape)
    if missing is not None:
        refuse_missing(name, missing)
    if plain.dtype.kind in _NO_NUMBERS:
        raise InvalidInputError(f"{name} must be a column of numbers; received {str(plain.dtype)[:100]}")
    return plain


def refuse_missing(name: str, missing: NDArray[np.bool_]) -> None:
    """Raise InvalidInputError for the first missing value of a column, if any."""
    (rows, *_) = np.nonzero(np.atleast_1d(missing))
    if not len(rows):
        return
    also = f" (and in {len(rows) - 1} more)" if len(rows) > 1 else ""
    raise InvalidInputError(
        f"particle[{rows[0]}]: {name} is missing (masked, null or NA){also}; fill it in or leave the particle out"
    )


def _array_of(values: Any) -> NDArray[Any]:
    try:
        return np.asanyarray(values)  # `asarray` would drop the mask of a masked array
    except ValueError:
        if not hasattr(values, "to_numpy"):
            raise
        masked: NDArray[Any] = values.to_numpy()  # awkward masks None
        return masked


def _nulls_of(values: Any) -> NDArray[np.bool_] | None:
    """Which values are null in pandas, pyarrow or polars, which convert nulls to NaN for NumPy."""
    for method in ("isna", "is_null"):
        if callable(ask := getattr(values, method, None)):
            return np.asarray(ask(), dtype=bool)
    return None


def _is_missing(value: Any) -> bool:
    if value is None:
        return True
    try:
        return bool(value != value)  # NaN
    except TypeError:  # NA of pandas has no truth value
        return True
    except ValueError:  # an array: not a number, but not missing
        return False
