"""Whether a reply is whole: one that was cut off on its way is an error, and never fewer rows."""

import math

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import ZdcError
from zdc_common.words import counted
from zdc_detector.hits import Hits

from zdc_service.simulation import OutOfRange, Output, SimulationRequest, SimulationResult


def check_reply(server: str, request: SimulationRequest, result: SimulationResult) -> None:
    """Compare a reply with its request.

    Raises
    ------
    ZdcError : it is to another request, or rows, fibres or hits are missing or too many; names the first difference.
    """
    wrong = _wrong(request, result)
    if wrong is not None:
        raise broken(server, wrong)


def broken(server: str, wrong: str) -> ZdcError:
    """What to tell a caller whose reply is damaged."""
    return ZdcError(f"{server}: the reply is cut off or breaks the contract: {wrong[:100]}; ask again")


def _wrong(request: SimulationRequest, result: SimulationResult) -> str | None:
    asked = (request.seed, request.first_row, request.repeats)
    if (result.seed, result.first_row, result.repeats) != asked:
        return "it is to another request"
    rows, fibres = len(result.particle), math.prod(result.shape)
    kept = len(request.particles)
    if request.out_of_range is OutOfRange.SKIP:
        kept -= sum(result.skipped.values())
    if rows != kept * request.repeats:
        return f"it has {counted(rows, 'row')} for {counted(kept, 'particle')} x {request.repeats}"
    if not _in_order(result.particle.astype(np.int64).reshape(kept, request.repeats), len(request.particles)):
        return "its rows are not those of the particles"
    if len(result.side) != rows or result.channels.shape != (rows, len(result.channel_names)):
        return f"channels or sides are not of {counted(rows, 'row')}"
    responses = None if result.response is None else result.response.shape
    if request.output is Output.RESPONSE and responses != (rows, *result.shape):
        return f"the responses are not of {counted(rows, 'row')} of {fibres} fibres"
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
        return f"the offsets of hits are not of {counted(rows, 'row')}"
    if not offsets[-1] == len(hits.fibre) == len(hits.photons):
        ends = f"fibre of {len(hits.fibre)}, photons of {len(hits.photons)}"
        return f"it has {ends}, and offsets of {counted(offsets[-1], 'hit')}"
    if len(hits.fibre) and int(hits.fibre.max()) >= fibres:
        return f"a hit is in none of the {fibres} fibres"
    return None
