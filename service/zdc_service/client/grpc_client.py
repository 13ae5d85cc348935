"""Simulation by a server over gRPC, whose stream carries answers of any size."""

from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from zdc_detector.errors import DeadlineError, NotReadyError, ZdcError
from zdc_detector.finish import Finish

from zdc_service.client.base import Client, ClientOptions
from zdc_service.client.columns import columns_to_send
from zdc_service.client.credentials import Credentials, unreachable
from zdc_service.client.errors import error_of
from zdc_service.rpc import simulation_pb2 as pb
from zdc_service.simulation import Hits, Output, SimulationRequest, SimulationResult, join_hits
from zdc_service.status import GRPC_KIND_KEY

_METHOD = "/zdc.v1.Simulation/SimulateStream"


class GrpcClient(Client):
    """One stream per request on a shared channel, so that a request that fails is repeated alone."""

    def __init__(self, target: str, options: ClientOptions, credentials: Credentials):
        super().__init__(options)
        self._target = target
        self._credentials = credentials
        if credentials.context is None:
            self._channel = grpc.insecure_channel(target)
        else:
            self._channel = grpc.secure_channel(target, credentials.for_grpc())
        self._simulate = self._channel.stream_stream(
            _METHOD,
            request_serializer=pb.SimulateRequest.SerializeToString,
            response_deserializer=pb.SimulateResponse.FromString,
        )

    def _exchange(self, request: SimulationRequest) -> SimulationResult:
        message = message_of_request(request)
        try:
            metadata = tuple(self._credentials.authorization().items())
            replies = list(self._simulate(iter([message]), timeout=self._options.timeout_seconds, metadata=metadata))
        except grpc.RpcError as error:
            raise self._error(error) from error
        if not replies or not replies[-1].last:
            raise NotReadyError(f"{self._target}: the server ended the stream before the last reply")
        return result_from_messages(replies, request.output)

    def _error(self, error: Any) -> ZdcError:
        kind = dict(error.trailing_metadata() or ()).get(GRPC_KIND_KEY)
        if kind is not None:
            return error_of(str(kind), error.details())
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            seconds = self._options.timeout_seconds
            return DeadlineError(f"{self._target}: no answer within {seconds:g} s; send fewer rows in a request")
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return unreachable(self._target, error.details(), tls=self._credentials.context is not None)
        return ZdcError(f"{self._target}: {error.code().name}: {error.details()}")

    def _disconnect(self) -> None:
        self._channel.close()


def message_of_request(request: SimulationRequest) -> pb.SimulateRequest:
    """A request as its message."""
    columns = columns_to_send(request.particles)
    particles = pb.Particles(
        pdg=columns["pdg"].astype("<i4").tobytes(),
        momentum=_bytes([columns[name] for name in ("px", "py", "pz")]),
        vertex=_bytes([columns[name] for name in ("vx", "vy", "vz")]),
        mass=_bytes([columns[name] for name in ("mass",) if name in columns]),
        charge=_bytes([columns[name] for name in ("charge",) if name in columns]),
    )
    return pb.SimulateRequest(
        particles=particles,
        seed=request.seed,
        first_row=request.first_row,
        repeats=request.repeats,
        output=f"OUTPUT_{request.output.name}",
        out_of_range=f"OUT_OF_RANGE_{request.out_of_range.name}",
        finish=pb.FINISH_NONE if request.rates else pb.FINISH_UNSPECIFIED,
        model=request.model or "",
        version=request.version or 0,
    )


def result_from_messages(replies: list[pb.SimulateResponse], output: Output) -> SimulationResult:
    """The replies to one request, put together; `output` as asked, since empty payloads do not travel."""
    last = replies[-1]
    rows, columns = last.shape
    response = hits = None
    if output is Output.HITS:
        hits = join_hits([_hits(reply) for reply in replies], _dtype(last.photon_type))
    elif output is Output.RESPONSE:
        response = _join([reply.response for reply in replies], _dtype(last.photon_type), rows, columns)
    return SimulationResult(
        model=last.model,
        version=last.version,
        seed=last.seed,
        first_row=last.first_row,
        repeats=last.repeats,
        finish=Finish(last.finish),
        shape=(rows, columns),
        channel_names=tuple(last.channel_names),
        particle=_join([reply.particle for reply in replies], np.dtype("<u4")),
        side=_join([reply.side for reply in replies], np.dtype("S1")),
        channels=_join([reply.channels for reply in replies], _dtype(last.channel_type), len(last.channel_names)),
        response=response,
        hits=hits,
        skipped=dict(last.skipped),
        extrapolated=dict(last.extrapolated),
    )


def _dtype(kind: pb.ElementType) -> np.dtype[Any]:
    """``ELEMENT_TYPE_UINT16`` is little-endian uint16, and so on."""
    return np.dtype(pb.ElementType.Name(kind).removeprefix("ELEMENT_TYPE_").lower()).newbyteorder("<")


def _bytes(columns: list[NDArray[np.generic]]) -> bytes:
    """Columns side by side as float32, shape (N, columns)."""
    return np.stack(columns, axis=1).astype("<f4").tobytes() if columns else b""


def _join(parts: list[bytes], dtype: np.dtype[Any], *row_shape: int) -> NDArray[Any]:
    return np.frombuffer(b"".join(parts), dtype=dtype).reshape(-1, *row_shape)


def _hits(reply: pb.SimulateResponse) -> Hits:
    return Hits(
        np.frombuffer(reply.hits.offsets, dtype="<u8"),
        np.frombuffer(reply.hits.fibre, dtype="<u2"),
        np.frombuffer(reply.hits.photons, dtype=_dtype(reply.photon_type)),
    )
