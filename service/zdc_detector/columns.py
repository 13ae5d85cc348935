"""Columns of numbers from whatever callers hold them in, without losing that a value is missing."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import InvalidInputError

#: Complex numbers, times and records: NumPy would make floats of some, and lose what they say.
_NO_NUMBERS = "cmMV"


def as_column(name: str, values: Any) -> NDArray[Any]:
    """A plain array of the values, shape (N,) where they are a column.

    Parameters
    ----------
    name : Of the column, for messages.
    values : Whatever NumPy makes an array of: lists, arrays, columns of pandas, polars, pyarrow, awkward, astropy.

    Raises
    ------
    InvalidInputError : a value is masked, null, NA or None, which a plain array does not show; or these are no numbers.
    """
    if type(values) is np.ndarray and values.dtype.kind in "iuf":
        return values
    try:
        array, missing = _array_of(values), _nulls_of(values)
    except (TypeError, ValueError) as error:  # lists in a column, or a table that is yet to be computed
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
    """Raise InvalidInputError for the first row of a column that is missing, if any."""
    (rows, *_) = np.nonzero(np.atleast_1d(missing))
    if not len(rows):
        return
    also = f" (and in {len(rows) - 1} more)" if len(rows) > 1 else ""
    raise InvalidInputError(
        f"particle[{rows[0]}]: {name} is missing (masked, null or NA){also}; fill it in or leave the particle out"
    )


def _array_of(values: Any) -> NDArray[Any]:
    try:
        return np.asanyarray(values)  # a plain `asarray` takes the data of a masked array, and leaves its mask
    except ValueError:
        if not hasattr(values, "to_numpy"):
            raise
        masked: NDArray[Any] = values.to_numpy()  # awkward's own way, which masks what is None
        return masked


def _nulls_of(values: Any) -> NDArray[np.bool_] | None:
    """Which values are missing by the word of pandas, pyarrow or polars, which fill them with NaN for NumPy."""
    for method in ("isna", "is_null"):
        if callable(ask := getattr(values, method, None)):
            return np.asarray(ask(), dtype=bool)
    return None


def _is_missing(value: Any) -> bool:
    if value is None:
        return True
    try:
        return bool(value != value)  # NaN
    except TypeError:  # pandas' NA is neither true nor false
        return True
    except ValueError:  # an array, which is no number either
        return False
