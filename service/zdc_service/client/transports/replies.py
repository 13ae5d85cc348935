"""Check that a reply is complete: a truncated reply is an error, never a result with fewer rows."""

import math

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import InvalidInputError, ZdcError
from zdc_common.words import counted
from zdc_detector.hits import Hits

from zdc_service.simulation import OutOfRange, Output, SimulationRequest, SimulationResult


def check_reply(server: str, request: SimulationRequest, result: SimulationResult) -> None:
    """Compare a reply with its request.

    Raises
    ------
    InvalidInputError : the server does not know the frame of the request.
    ZdcError : the reply belongs to another request, or has too few or too many rows, fibres or hits. The message names
        the first difference.
    """
    if result.frame is not request.frame:
        raise InvalidInputError(f"{server}: the server is too old for frame = {request.frame.value}; update it")
    wrong = _wrong(request, result)
    if wrong is not None:
        raise broken(server, wrong)


def broken(server: str, wrong: str) -> ZdcError:
    """The error for a truncated or invalid reply."""
    return ZdcError(f"{server}: the reply is truncated or invalid: {wrong[:100]}; try again")


def _wrong(request: SimulationRequest, result: SimulationResult) -> str | None:
    asked = (request.seed, request.first_row, request.repeats)
    if (result.seed, result.first_row, result.repeats) != asked:
        return "it belongs to another request"
    rows, fibres = len(result.particle), math.prod(result.shape)
    kept = len(request.particles)
    if request.out_of_range is OutOfRange.SKIP:
        kept -= sum(result.skipped.values())
    if rows != kept * request.repeats:
        return f"it has {counted(rows, 'row')} for {counted(kept, 'particle')} x {request.repeats}"
    if not _in_order(result.particle.astype(np.int64).reshape(kept, request.repeats), len(request.particles)):
        return "its rows are not in the order of the particles"
    if len(result.side) != rows or result.channels.shape != (rows, len(result.channel_names)):
        return f"its channels or sides do not have {counted(rows, 'row')}"
    responses = None if result.response is None else result.response.shape
    if request.output is Output.RESPONSE and responses != (rows, *result.shape):
        return f"its responses do not have {counted(rows, 'row')} of {fibres} fibres"
    if request.output is Output.HITS:
        return "it has no hits" if result.hits is None else _wrong_hits(result.hits, rows, fibres)
    return None


def _in_order(particle: NDArray[np.int64], particles: int) -> bool:
    """`particle` has the shape (particles, repeats)."""
    first = particle[:, :1]
    return bool((particle == first).all() and (np.diff(first[:, 0]) > 0).all() and (first < particles).all())


def _wrong_hits(hits: Hits, rows: int, fibres: int) -> str | None:
    offsets = hits.offsets.astype(np.int64)
    if len(offsets) != rows + 1 or offsets[0] != 0 or (np.diff(offsets) < 0).any():
        return f"its offsets of hits do not have {counted(rows, 'row')}"
    if not offsets[-1] == len(hits.fibre) == len(hits.photons):
        lengths = f"{len(hits.fibre)} values of fibre and {len(hits.photons)} of photons"
        return f"it has {lengths}, but its offsets announce {counted(offsets[-1], 'hit')}"
    if len(hits.fibre) and int(hits.fibre.max()) >= fibres:
        return f"it has a hit in fibre {int(hits.fibre.max())}; the last fibre is {fibres - 1}"
    return None
