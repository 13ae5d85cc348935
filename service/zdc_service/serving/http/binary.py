"""Binary bodies of `POST /simulate`: the body has the particles as rows of numbers, the query has the options."""

import io
import math
import re
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import InvalidInputError, cut, excerpt
from zdc_common.words import counted
from zdc_detector.kernels import split_rows
from zdc_detector.particles import KINEMATICS, Particles

from zdc_service.codecs import NPY, RAW
from zdc_service.serving.http.schema import ROW_COLUMNS, SimulateQuery, check_names, explained
from zdc_service.simulation import SimulationRequest, check_rows

MEDIA_TYPES = (RAW, NPY)
_LARGEST_EXACT = 2.0**24  # float32 represents every integer up to this one exactly
#: Maximum size of an npy header in bytes; records with every column need about 250. A header is Python text and slow
#: to parse.
_LARGEST_HEADER = 2000

_INTEGERS = frozenset(("seed", "first_row", "repeats", "version"))
_DIGITS = re.compile("0|-?[1-9][0-9]*", re.ASCII)


def parse_binary(media_type: str, query: str, body: bytes, most_rows: int) -> SimulationRequest:
    """Parse a binary request.

    Parameters
    ----------
    media_type : `RAW` (little-endian float32 rows) or `NPY` (a two-dimensional array of any number type, or a
        one-dimensional array of records whose fields are columns).
    query : Query of the URL, with the fields of `SimulateQuery`.
    body : N rows, each with the columns listed in the query's ``columns``.
    most_rows : Maximum number of particles x repeats.

    Raises
    ------
    InvalidInputError : the query or the body does not have the declared form, or a particle is not physical.
    OutOfRangeError : the PDG table does not have a species.
    TooLargeError : too many rows.
    """
    options = _options(query)
    names = options.names
    rows: NDArray[Any] = _read_raw(body, names) if media_type == RAW else _read_npy(body, names)
    check_rows(len(rows), options.repeats, most_rows)
    if rows.dtype.names:
        return options.request(Particles.from_columns({name: rows[name] for name in rows.dtype.names}))
    return options.request(_from_rows(rows, names))


@lru_cache(maxsize=64)
def _options(query: str) -> SimulateQuery:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=32)
    except ValueError as error:
        raise InvalidInputError(f"query {excerpt(query)} cannot be parsed; write name=value&name=value") from error
    given = dict(pairs)
    if len(given) < len(pairs):
        names = [name for name, _ in pairs]
        raise InvalidInputError(
            f"{cut(next(n for n in names if names.count(n) > 1))}: given more than once in the query"
        )
    check_names("", given, SimulateQuery.model_fields, "a request")
    for name in _INTEGERS & given.keys():
        if not _DIGITS.fullmatch(given[name]):  # pydantic accepts 01, 1.0, 1_0 and " 1"
            raise InvalidInputError(f"{name} = {excerpt(given[name])} must be an integer in plain digits")
    return explained(lambda: SimulateQuery.model_validate_strings(given))


def _read_raw(body: bytes, names: tuple[str, ...]) -> NDArray[np.float32]:
    """Rows of shape (N, names)."""
    width = len(names)
    if len(body) % (4 * width):
        raise InvalidInputError(
            f"the body has {counted(len(body), 'byte')}; one particle ({cut(','.join(names))}) takes {width} float32 "
            f"numbers, {4 * width} bytes: send a multiple of that"
        )
    return np.frombuffer(body, "<f4").reshape(-1, width)


def _read_npy(body: bytes, names: tuple[str, ...]) -> NDArray[Any]:
    """A view of the body: rows of shape (N, names), or records of shape (N,)."""
    shape, by_columns, kind, start = _read_header(body)
    numbers = [kind] if kind.fields is None else [field[0] for field in kind.fields.values()]
    if any(number.kind not in "iuf" for number in numbers):  # objects, subarrays and strings, for example
        raise InvalidInputError(f"the array has the type {excerpt(kind)}; send numbers, or records of numbers")
    wanted = "(particles,)" if kind.fields else f"(particles, {len(names)})"
    if len(shape) != (1 if kind.fields else 2) or (not kind.fields and shape[1] != len(names)):
        columns = "" if kind.fields else f" for columns = {cut(','.join(names))}"
        raise InvalidInputError(
            f"the array is {cut(str(kind))} of shape {excerpt(shape)}; send shape {wanted}{columns}"
        )
    size = math.prod(shape) * kind.itemsize
    if size != len(body) - start:
        raise InvalidInputError(
            f"the npy body has {counted(len(body) - start, 'byte')} after its header; {cut(str(kind))} of shape "
            f"{excerpt(shape)} needs {size}"
        )
    array = np.frombuffer(body, kind, math.prod(shape), start)
    return array.reshape(shape[::-1]).T if by_columns else array.reshape(shape)


def _read_header(body: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, whether the array is in column order (Fortran order), type, and byte offset of the numbers."""
    file = io.BytesIO(body)
    try:
        version = np.lib.format.read_magic(file)
        if version not in _READERS:
            raise ValueError(f"version {version[0]}.{version[1]}; supported are 1.0 and 2.0")
        shape, by_columns, kind = _READERS[version](file, max_header_size=_LARGEST_HEADER)
        if min(shape, default=0) < 0 or kind.itemsize == 0:
            raise ValueError("the shape is negative or the type has no size")
    except Exception as error:  # NumPy evaluates the header as Python text, which can raise any exception
        raise InvalidInputError(f"the body is not an npy file: {cut(str(error) or type(error).__name__)}") from error
    return shape, by_columns, kind, file.tell()


_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def _from_rows(rows: NDArray[Any], names: tuple[str, ...]) -> Particles:
    if len(set(names)) < len(names):
        raise InvalidInputError(f"columns = {cut(','.join(names))} names a column twice; name each column once")
    # split_rows is compiled for arrays like those of a raw body; other types would be compiled at the first request.
    usual = rows.dtype == np.float32 and rows.flags.c_contiguous and rows.flags.aligned
    if names == ROW_COLUMNS and usual and len(rows):
        pdg, kinematics = np.empty(len(rows), dtype=np.int64), np.empty((len(rows), len(KINEMATICS)), dtype=np.float32)
        if split_rows(rows, _LARGEST_EXACT, pdg, kinematics):
            return Particles.from_rows(pdg, kinematics)
    return Particles.from_columns({name: rows[:, i] for i, name in enumerate(names)})
