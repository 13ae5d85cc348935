"""Binary bodies of `POST /simulate`: particles as rows of numbers, options in the query."""

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
_LARGEST_EXACT = 2.0**24  # float32 has every integer up to here
#: Bytes of an npy header; that of records with every column has some 250. It is Python text, which is slow to read.
_LARGEST_HEADER = 2000

_INTEGERS = frozenset(("seed", "first_row", "repeats", "version"))
_DIGITS = re.compile("0|-?[1-9][0-9]*", re.ASCII)


def parse_binary(media_type: str, query: str, body: bytes, most_rows: int) -> SimulationRequest:
    """A request from a body of numbers.

    Parameters
    ----------
    media_type : `RAW`, little-endian float32 rows, or `NPY`, a two-dimensional array of any number type, or one of
        records whose fields are columns.
    query : The URL's, with the fields of `SimulateQuery`.
    body : N rows, each with the numbers that the query's ``columns`` name.
    most_rows : Most particles x repeats.

    Raises
    ------
    InvalidInputError : the query or the body is not as declared, or a particle cannot be.
    OutOfRangeError : a species that the PDG table does not know.
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
        raise InvalidInputError(f"query {excerpt(query)} cannot be read; write name=value&name=value") from error
    given = dict(pairs)
    if len(given) < len(pairs):
        names = [name for name, _ in pairs]
        raise InvalidInputError(
            f"{cut(next(n for n in names if names.count(n) > 1))}: given more than once in the query"
        )
    check_names("", given, SimulateQuery.model_fields, "a request")
    for name in _INTEGERS & given.keys():
        if not _DIGITS.fullmatch(given[name]):  # 01, 1.0, 1_0 and " 1" would pass for 1 or 10
            raise InvalidInputError(f"{name} = {excerpt(given[name])} must be an integer in plain digits")
    return explained(lambda: SimulateQuery.model_validate_strings(given))


def _read_raw(body: bytes, names: tuple[str, ...]) -> NDArray[np.float32]:
    """Rows of shape (N, names)."""
    width = len(names)
    if len(body) % (4 * width):
        raise InvalidInputError(
            f"the body has {counted(len(body), 'byte')}; {cut(','.join(names))} of a particle are {width} float32 "
            f"numbers, {4 * width} bytes: send a multiple of that"
        )
    return np.frombuffer(body, "<f4").reshape(-1, width)


def _read_npy(body: bytes, names: tuple[str, ...]) -> NDArray[Any]:
    """Rows of shape (N, names), or records of shape (N,), as a view of the body."""
    shape, by_columns, kind, start = _read_header(body)
    numbers = [kind] if kind.fields is None else [field[0] for field in kind.fields.values()]
    if any(number.kind not in "iuf" for number in numbers):  # among them objects, subarrays and texts
        raise InvalidInputError(f"the array is of {excerpt(kind)}; send numbers, or records of numbers")
    wanted = "(particles,)" if kind.fields else f"(particles, {len(names)})"
    if len(shape) != (1 if kind.fields else 2) or (not kind.fields and shape[1] != len(names)):
        columns = "" if kind.fields else f" for columns = {cut(','.join(names))}"
        raise InvalidInputError(
            f"the array is {cut(str(kind))} of shape {excerpt(shape)}; send shape {wanted}{columns}"
        )
    size = math.prod(shape) * kind.itemsize
    if size != len(body) - start:
        raise InvalidInputError(
            f"the npy body has {counted(len(body) - start, 'byte')} behind its header; {cut(str(kind))} of shape "
            f"{excerpt(shape)} has {size}"
        )
    array = np.frombuffer(body, kind, math.prod(shape), start)
    return array.reshape(shape[::-1]).T if by_columns else array.reshape(shape)


def _read_header(body: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, whether columns follow each other, type, and where the numbers begin."""
    file = io.BytesIO(body)
    try:
        version = np.lib.format.read_magic(file)
        if version not in _READERS:
            raise ValueError(f"version {version[0]}.{version[1]}, where 1.0 and 2.0 are read")
        shape, by_columns, kind = _READERS[version](file, max_header_size=_LARGEST_HEADER)
        if min(shape, default=0) < 0 or kind.itemsize == 0:
            raise ValueError("a negative shape or a type without size")
    except Exception as error:  # it is text of Python that NumPy evaluates: it can fail in any way
        raise InvalidInputError(f"the body is no npy file: {cut(str(error) or type(error).__name__)}") from error
    return shape, by_columns, kind, file.tell()


_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def _from_rows(rows: NDArray[Any], names: tuple[str, ...]) -> Particles:
    if len(set(names)) < len(names):
        raise InvalidInputError(f"columns = {cut(','.join(names))} names a column twice")
    # Compiled for rows like those of a raw body; for others it would be compiled anew.
    usual = rows.dtype == np.float32 and rows.flags.c_contiguous and rows.flags.aligned
    if names == ROW_COLUMNS and usual and len(rows):
        pdg, kinematics = np.empty(len(rows), dtype=np.int64), np.empty((len(rows), len(KINEMATICS)), dtype=np.float32)
        if split_rows(rows, _LARGEST_EXACT, pdg, kinematics):
            return Particles.from_rows(pdg, kinematics)
    return Particles.from_columns({name: rows[:, i] for i, name in enumerate(names)})
