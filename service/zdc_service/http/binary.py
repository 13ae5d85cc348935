"""Binary bodies of `POST /simulate`: particles as rows of numbers, options in the query."""

import io
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
from numpy.typing import NDArray
from zdc_detector.errors import InvalidInputError
from zdc_detector.kernels import split_rows
from zdc_detector.particles import KINEMATICS, Particles

from zdc_service.codecs import NPY, RAW
from zdc_service.http.schema import ROW_COLUMNS, SimulateQuery, explained
from zdc_service.simulation import SimulationRequest

MEDIA_TYPES = (RAW, NPY)
_LARGEST_EXACT = 2.0**24  # float32 has every integer up to here


def parse_binary(media_type: str, query: str, body: bytes) -> SimulationRequest:
    """A request from a body of numbers.

    Parameters
    ----------
    media_type : `RAW`, little-endian float32 rows, or `NPY`, a two-dimensional array of any number type, or one of
        records whose fields are columns.
    query : The URL's, with the fields of `SimulateQuery`.
    body : N rows, each with the numbers that the query's ``columns`` name.

    Raises
    ------
    InvalidInputError : the query or the body is not as declared, or a particle cannot be.
    OutOfRangeError : a species that the PDG table does not know.
    """
    options = _options(query)
    names = options.names
    rows = np.frombuffer(body, "<f4", len(body) // 4) if media_type == RAW else _read_npy(body)
    if rows.dtype.names:
        particles = Particles.from_columns({name: rows[name] for name in rows.dtype.names})
    else:
        particles = _from_rows(_shaped(rows, names, len(body)), names)
    return options.request(particles)


@lru_cache(maxsize=64)
def _options(query: str) -> SimulateQuery:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=32)
    except ValueError as error:
        raise InvalidInputError(f"query {query[:60]!r}: {error}; write name=value&name=value") from error
    given = dict(pairs)
    if len(given) < len(pairs):
        names = [name for name, _ in pairs]
        raise InvalidInputError(f"{next(n for n in names if names.count(n) > 1)}: given more than once in the query")
    return explained(SimulateQuery, lambda: SimulateQuery.model_validate_strings(given))


def _read_npy(body: bytes) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.lib.format.read_array(io.BytesIO(body), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InvalidInputError(f"the body is no npy file: {error}") from error
    return array


def _shaped(rows: NDArray[Any], names: tuple[str, ...], size: int) -> NDArray[Any]:
    """Rows of shape (N, names)."""
    width = len(names)
    if rows.ndim == 1:
        if size % (4 * width):
            raise InvalidInputError(
                f"the body has {size} bytes; {','.join(names)} of a particle are {width} float32 numbers, "
                f"{4 * width} bytes: send a multiple of that"
            )
        return rows.reshape(-1, width)
    if rows.ndim != 2 or rows.shape[1] != width or rows.dtype.kind not in "iuf":
        raise InvalidInputError(
            f"the array is {rows.dtype} of shape {rows.shape}; send numbers of shape (particles, {width}) "
            f"for columns = {','.join(names)}"
        )
    return rows


def _from_rows(rows: NDArray[Any], names: tuple[str, ...]) -> Particles:
    if len(set(names)) < len(names):
        raise InvalidInputError(f"columns = {','.join(names)} names a column twice")
    if names == ROW_COLUMNS and rows.dtype == np.float32 and len(rows):
        pdg, kinematics = np.empty(len(rows), dtype=np.int64), np.empty((len(rows), len(KINEMATICS)), dtype=np.float32)
        if split_rows(rows, _LARGEST_EXACT, pdg, kinematics):
            return Particles.from_rows(pdg, kinematics)
    if "pdg" in names and rows.dtype == np.float32:
        codes = rows[:, names.index("pdg")]
        rounded = np.abs(codes) > _LARGEST_EXACT
        if rounded.any():
            row = int(np.argmax(rounded))
            raise InvalidInputError(
                f"particle[{row}]: pdg = {codes[row]:.10g} is beyond 2^24, where float32 rounds; send an npy body of "
                "float64 or records, or JSON"
            )
    return Particles.from_columns({name: rows[:, i] for i, name in enumerate(names)})
