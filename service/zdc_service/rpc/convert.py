"""Between the messages of `zdc.v1` and the types of `zdc_service.simulation`."""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from zdc_detector.errors import InvalidInputError
from zdc_detector.particles import Particles

from zdc_service.codecs import little_endian
from zdc_service.rpc import simulation_pb2 as pb
from zdc_service.simulation import OutOfRange, Output, SimulationRequest, SimulationResult

_Choice = TypeVar("_Choice")

_OUTPUTS: Mapping[int, Output] = {
    pb.OUTPUT_UNSPECIFIED: Output.RESPONSE,
    pb.OUTPUT_RESPONSE: Output.RESPONSE,
    pb.OUTPUT_CHANNELS: Output.CHANNELS,
    pb.OUTPUT_HITS: Output.HITS,
}
_OUT_OF_RANGE: Mapping[int, OutOfRange] = {
    pb.OUT_OF_RANGE_UNSPECIFIED: OutOfRange.ERROR,
    pb.OUT_OF_RANGE_ERROR: OutOfRange.ERROR,
    pb.OUT_OF_RANGE_SKIP: OutOfRange.SKIP,
    pb.OUT_OF_RANGE_EXTRAPOLATE: OutOfRange.EXTRAPOLATE,
}
_RATES: Mapping[int, bool] = {pb.FINISH_UNSPECIFIED: False, pb.FINISH_NONE: True}
_ELEMENT_TYPES = {
    np.dtype(np.uint16): pb.ELEMENT_TYPE_UINT16,
    np.dtype(np.uint32): pb.ELEMENT_TYPE_UINT32,
    np.dtype(np.float32): pb.ELEMENT_TYPE_FLOAT32,
}


def read_request(message: pb.SimulateRequest) -> SimulationRequest:
    """A request from its message.

    Raises
    ------
    InvalidInputError : a column of the wrong length, an unknown enum value, or a particle that cannot be.
    OutOfRangeError : a species that the PDG table does not know.
    """
    return SimulationRequest(
        particles=_read_particles(message.particles),
        seed=message.seed if message.HasField("seed") else None,
        first_row=message.first_row,
        repeats=message.repeats or 1,
        output=_choice("output", _OUTPUTS, message.output),
        out_of_range=_choice("out_of_range", _OUT_OF_RANGE, message.out_of_range),
        rates=_choice("finish", _RATES, message.finish),
        model=message.model or None,
        version=message.version or None,
    )


def _choice(name: str, table: Mapping[int, _Choice], value: int) -> _Choice:
    if value not in table:
        raise InvalidInputError(f"{name} = {value} is not one of {sorted(table)}; is the client newer than the server?")
    return table[value]


def _read_particles(message: pb.Particles) -> Particles:
    pdg = _column("pdg", message.pdg, "<i4", None)
    columns: dict[str, NDArray[np.generic]] = {"pdg": pdg}
    momentum = _column("momentum", message.momentum, "<f4", 3 * len(pdg)).reshape(-1, 3)
    columns |= {name: momentum[:, i] for i, name in enumerate(("px", "py", "pz"))}
    if message.vertex:
        vertex = _column("vertex", message.vertex, "<f4", 3 * len(pdg)).reshape(-1, 3)
        columns |= {name: vertex[:, i] for i, name in enumerate(("vx", "vy", "vz"))}
    for name in ("energy", "mass", "charge"):
        data: bytes = getattr(message, name)
        if data:
            columns[name] = _column(name, data, "<f4", len(pdg))
    return Particles.from_columns(columns)


def _column(name: str, data: bytes, kind: str, count: int | None) -> NDArray[np.generic]:
    size = np.dtype(kind).itemsize
    if (count is not None and len(data) != count * size) or len(data) % size:
        wanted = f"{count} numbers of {size} bytes" if count is not None else f"a multiple of {size} bytes"
        raise InvalidInputError(f"particles.{name} has {len(data)} bytes; it must have {wanted}, little-endian")
    return np.frombuffer(data, dtype=kind)


def write_response(result: SimulationResult, last: bool) -> pb.SimulateResponse:
    """A result as a message; `last` marks the final one for its request, which carries the counts by reason."""
    message = pb.SimulateResponse(
        model=result.model,
        version=result.version,
        seed=result.seed,
        first_row=result.first_row,
        repeats=result.repeats,
        finish=result.finish.value,
        shape=result.shape,
        channel_names=result.channel_names,
        particle=little_endian(result.particle),
        side=result.side.tobytes(),
        channels=little_endian(result.channels),
        channel_type=_ELEMENT_TYPES[result.channels.dtype],
        last=last,
    )
    if result.response is not None:
        message.response = little_endian(result.response)
        message.photon_type = _ELEMENT_TYPES[result.response.dtype]
    if result.hits is not None:
        hits = result.hits
        message.hits.offsets, message.hits.fibre = little_endian(hits.offsets), little_endian(hits.fibre)
        message.hits.photons = little_endian(hits.photons)
        message.photon_type = _ELEMENT_TYPES[hits.photons.dtype]
    if last:
        message.skipped.update(result.skipped)
        message.extrapolated.update(result.extrapolated)
    return message
