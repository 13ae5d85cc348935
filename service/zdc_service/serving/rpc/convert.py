"""Conversion between the messages of `zdc.v1` and the types of `zdc_service.simulation`."""

from collections.abc import Mapping
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import InvalidInputError
from zdc_common.words import counted
from zdc_detector.finish import Finish
from zdc_detector.frames import Frame
from zdc_detector.particles import KINEMATICS, Particles

from zdc_service.codecs import little_endian
from zdc_service.messages import simulation_pb2 as pb
from zdc_service.serving.rpc.wire import bytes_field, varint_field
from zdc_service.simulation import OutOfRange, Output, SimulationRequest, SimulationResult, check_rows

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
_FRAMES: Mapping[int, Frame] = {
    pb.FRAME_UNSPECIFIED: Frame.VERTEX,
    pb.FRAME_VERTEX: Frame.VERTEX,
    pb.FRAME_FACE: Frame.FACE,
}
_RATES: Mapping[int, bool] = {pb.FINISH_UNSPECIFIED: False, pb.FINISH_NONE: True}
_ELEMENT_TYPES = {
    np.dtype(np.uint16): pb.ELEMENT_TYPE_UINT16,
    np.dtype(np.uint32): pb.ELEMENT_TYPE_UINT32,
    np.dtype(np.float32): pb.ELEMENT_TYPE_FLOAT32,
}


_PDG_BYTES = 4
_FIELD = {field.name: field.number for field in pb.SimulateResponse.DESCRIPTOR.fields}
_HITS_FIELD = {field.name: field.number for field in pb.Hits.DESCRIPTOR.fields}


def read_request(message: pb.SimulateRequest, most_rows: int) -> SimulationRequest:
    """Convert a message to a request of at most `most_rows` rows.

    Raises
    ------
    InvalidInputError : a column has a wrong length, an enum value is unknown, or a particle is not physical.
    OutOfRangeError : the PDG table does not have a species.
    TooLargeError : too many rows.
    """
    check_rows(len(message.particles.pdg) // _PDG_BYTES, message.repeats or 1, most_rows)
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
        frame=_choice("frame", _FRAMES, message.frame),
    )


def _choice(name: str, table: Mapping[int, _Choice], value: int) -> _Choice:
    if value not in table:
        raise InvalidInputError(f"{name} = {value} is not one of {sorted(table)}; is the client newer than the server?")
    return table[value]


def _read_particles(message: pb.Particles) -> Particles:
    pdg = _column("pdg", message.pdg, "<i4", None)
    kinematics = np.zeros((len(pdg), len(KINEMATICS)), dtype=np.float32)
    kinematics[:, :3] = _column("momentum", message.momentum, "<f4", 3 * len(pdg)).reshape(-1, 3)
    if message.vertex:
        kinematics[:, 3:] = _column("vertex", message.vertex, "<f4", 3 * len(pdg)).reshape(-1, 3)
    given = {name: data for name in ("energy", "mass", "charge") if (data := getattr(message, name))}
    if len(pdg) and not given:
        return Particles.from_rows(pdg.astype(np.int64), kinematics)
    columns = {"pdg": pdg} | {name: kinematics[:, i] for i, name in enumerate(KINEMATICS)}
    columns |= {name: _column(name, data, "<f4", len(pdg)) for name, data in given.items()}
    return Particles.from_columns(columns)


def _column(name: str, data: bytes, kind: str, count: int | None) -> NDArray[np.generic]:
    size = np.dtype(kind).itemsize
    if (count is not None and len(data) != count * size) or len(data) % size:
        wanted = f"{counted(count, 'number')} of {size} bytes" if count is not None else f"a multiple of {size} bytes"
        raise InvalidInputError(
            f"particles.{name} has {counted(len(data), 'byte')}; it must have {wanted}, little-endian"
        )
    return np.frombuffer(data, dtype=kind)


def write_response(result: SimulationResult, last: bool) -> bytes:
    """Serialize a result as a `SimulateResponse`; its arrays are copied only once.

    `last` marks the last message for its request, which has the counts by reason.
    """
    photons = result.response if result.hits is None else result.hits.photons
    fields = [
        _header(
            result.model,
            result.version,
            result.finish,
            result.shape,
            result.channel_names,
            result.channels.dtype,
            None if photons is None else photons.dtype,
            last,
            result.frame,
        ),
        *varint_field(_FIELD["seed"], result.seed),
        *varint_field(_FIELD["first_row"], result.first_row),
        *varint_field(_FIELD["repeats"], result.repeats),
        *bytes_field(_FIELD["particle"], little_endian(result.particle)),
        *bytes_field(_FIELD["side"], little_endian(result.side)),
        *bytes_field(_FIELD["channels"], little_endian(result.channels)),
    ]
    if result.response is not None:
        fields += bytes_field(_FIELD["response"], little_endian(result.response))
    if result.hits is not None:
        hits = result.hits
        fields += bytes_field(
            _FIELD["hits"],
            *bytes_field(_HITS_FIELD["offsets"], little_endian(hits.offsets)),
            *bytes_field(_HITS_FIELD["fibre"], little_endian(hits.fibre)),
            *bytes_field(_HITS_FIELD["photons"], little_endian(hits.photons)),
        )
    if last and (result.skipped or result.extrapolated):
        counts = pb.SimulateResponse(skipped=result.skipped, extrapolated=result.extrapolated)
        fields.append(counts.SerializeToString())
    return b"".join(fields)


@lru_cache(maxsize=64)
def _header(
    model: str,
    version: int,
    finish: Finish,
    shape: tuple[int, int],
    channel_names: tuple[str, ...],
    channel_type: np.dtype[np.generic],
    photon_type: np.dtype[np.generic] | None,
    last: bool,
    frame: Frame,
) -> bytes:
    """The serialized fields that are the same in all replies with these properties."""
    message = pb.SimulateResponse(
        model=model,
        version=version,
        finish=finish.value,
        shape=shape,
        channel_names=channel_names,
        channel_type=_ELEMENT_TYPES[channel_type],
        last=last,
        frame=f"FRAME_{frame.name}",
    )
    if photon_type is not None:
        message.photon_type = _ELEMENT_TYPES[photon_type]
    return message.SerializeToString()
