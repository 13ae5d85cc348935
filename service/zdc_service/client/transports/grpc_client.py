"""The client over gRPC. A stream of messages carries results of any size."""

import json
from typing import Any
from urllib.parse import urlsplit

import grpc
import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import NotReadyError, ZdcError
from zdc_detector.finish import Finish
from zdc_detector.frames import Frame
from zdc_detector.hits import Hits, join_hits

from zdc_service.access.loopback import is_loopback
from zdc_service.client.base import Client
from zdc_service.client.errors import error_of, too_late, unreachable
from zdc_service.client.model_facts import ModelFacts, read_calorimeter
from zdc_service.client.options import ClientOptions
from zdc_service.client.proxies import grpc_proxy
from zdc_service.client.transports.columns import columns_to_send
from zdc_service.client.transports.credentials import Credentials
from zdc_service.client.transports.replies import broken, check_reply
from zdc_service.messages import inference_pb2 as inference
from zdc_service.messages import simulation_pb2 as pb
from zdc_service.simulation import Output, SimulationRequest, SimulationResult
from zdc_service.status import GRPC_KIND_KEY

METHOD = "/zdc.v1.Simulation/SimulateStream"
#: Method of the Open Inference Protocol that returns a model's card.
CONFIG_METHOD = "/inference.GRPCInferenceService/ModelConfig"

#: Distribute requests over all IP addresses of the server's name, e.g. of a headless Kubernetes service. By default,
#: gRPC sends all requests to the first address that answers.
_ROUND_ROBIN = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})

#: A server that is alive answers a ping at once, also if all its threads compute.
_KEEPALIVE_ANSWER_SECONDS = 20.0


class GrpcEndpoint:
    """A server's address and options, and the conversion of its replies; both clients over gRPC use it.

    Attributes
    ----------
    target : gRPC's name of the server. Always by DNS, which accepts IP addresses too, so never a Unix socket.
    channel_options : Options of the channel.
    channel_credentials : Credentials for TLS; None for a plain channel.
    """

    def __init__(self, url: str, options: ClientOptions, credentials: Credentials):
        self._url = url
        scheme, _, rest = url.partition("://")
        self.target = url if scheme == "dns" else f"dns:///{rest}"
        server = urlsplit(f"//{rest.rpartition('/')[2]}")
        host = server.hostname or ""
        self._proxy = grpc_proxy(host, server.port)
        self.channel_options: list[tuple[str, int | str]] = [
            # Reconnect to a restarted server within a second; gRPC's default is up to two minutes.
            ("grpc.max_reconnect_backoff_ms", 1000),
            *keepalive_options(options.keepalive_seconds),
        ]
        if is_loopback(host):  # a proxy could not reach it, and its IPv4 and IPv6 addresses are the same server
            self.channel_options.append(("grpc.enable_http_proxy", 0))
        else:
            self.channel_options.append(("grpc.service_config", _ROUND_ROBIN))
        self.timeout_seconds = options.timeout_seconds
        self._credentials = credentials
        self.channel_credentials = None if credentials.context is None else credentials.for_grpc()

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Metadata of one call; raises ConfigError if the token's file can no longer be read."""
        return tuple(self._credentials.authorization().items())

    def result(self, replies: list[pb.SimulateResponse], request: SimulationRequest) -> SimulationResult:
        """The result of one request from all its replies; raises ZdcError if they are incomplete."""
        if not replies or not replies[-1].last:
            raise NotReadyError(f"{self._url}: the server ended the stream before the last reply")
        try:
            result = result_from_messages(replies, request.output)
        except (ValueError, TypeError) as error:
            raise broken(self._url, str(error)) from error
        check_reply(self._url, request, result)
        return result

    def facts(self, reply: inference.ModelConfigResponse) -> ModelFacts:
        """The facts in a reply with a model's configuration; raises as `read_calorimeter`."""
        texts = {name: parameter.string_value for name, parameter in reply.config.parameters.items()}
        calorimeter = read_calorimeter(self._url, texts.get("calorimeter_json", ""))
        return ModelFacts(texts["graph_sha256"], calorimeter)

    def error(self, error: Any) -> ZdcError:
        """The error for a call that failed with a `grpc.RpcError`."""
        kind = dict(error.trailing_metadata() or ()).get(GRPC_KIND_KEY)
        if kind is not None:
            return error_of(str(kind), error.details())
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return too_late(self._url, self.timeout_seconds)
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return unreachable(self._url, error.details(), self.channel_credentials is not None, self._proxy)
        return ZdcError(f"{self._url}: {error.code().name}: {error.details()}")


def keepalive_options(seconds: float) -> list[tuple[str, int]]:
    """Channel options for pings, which detect during a request that the server has vanished; none for 0."""
    if seconds == 0:
        return []
    answer = round(min(seconds, _KEEPALIVE_ANSWER_SECONDS) * 1000)
    return [
        ("grpc.keepalive_time_ms", round(seconds * 1000)),
        ("grpc.keepalive_timeout_ms", answer),
        ("grpc.http2.ping_timeout_ms", answer),  # newer versions of gRPC use this name; their default is a minute
        ("grpc.http2.max_pings_without_data", 0),  # no limit: a long computation sends no data
    ]


class GrpcClient(Client):
    """One stream per request on a shared channel, so that only a failed request is repeated."""

    def __init__(self, url: str, options: ClientOptions, credentials: Credentials):
        super().__init__(options, url)
        self._server = GrpcEndpoint(url, options, credentials)
        if self._server.channel_credentials is None:
            self._channel = grpc.insecure_channel(self._server.target, self._server.channel_options)
        else:
            self._channel = grpc.secure_channel(
                self._server.target, self._server.channel_credentials, self._server.channel_options
            )
        self._simulate = self._channel.unary_stream(  # unary: gRPC would need a thread to send a stream of requests
            METHOD,
            request_serializer=pb.SimulateRequest.SerializeToString,
            response_deserializer=pb.SimulateResponse.FromString,
        )
        self._config = self._channel.unary_unary(
            CONFIG_METHOD,
            request_serializer=inference.ModelConfigRequest.SerializeToString,
            response_deserializer=inference.ModelConfigResponse.FromString,
        )

    def _exchange(self, request: SimulationRequest) -> SimulationResult:
        server = self._server
        message = message_of_request(request)
        try:
            replies = list(self._simulate(message, timeout=server.timeout_seconds, metadata=server.metadata()))
        except grpc.RpcError as error:
            raise server.error(error) from error
        return server.result(replies, request)

    def facts(self, model: str, version: int) -> ModelFacts:
        """As `Client.facts`."""
        server, request = self._server, inference.ModelConfigRequest(name=model, version=str(version))
        try:
            reply = self._config(request, timeout=server.timeout_seconds, metadata=server.metadata())
        except grpc.RpcError as error:
            raise server.error(error) from error
        return server.facts(reply)

    def _disconnect(self) -> None:
        self._channel.close()


def message_of_request(request: SimulationRequest) -> pb.SimulateRequest:
    """Convert a request to a message."""
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
        frame=f"FRAME_{request.frame.name}",
    )


def result_from_messages(replies: list[pb.SimulateResponse], output: Output) -> SimulationResult:
    """Join the replies to one request. `output` is that of the request: an empty field does not show it."""
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
        frame=Frame.FACE if last.frame == pb.FRAME_FACE else Frame.VERTEX,
    )


def _dtype(kind: pb.ElementType) -> np.dtype[Any]:
    """``ELEMENT_TYPE_UINT16`` is little-endian uint16, and so on."""
    return np.dtype(pb.ElementType.Name(kind).removeprefix("ELEMENT_TYPE_").lower()).newbyteorder("<")


def _bytes(columns: list[NDArray[np.generic]]) -> bytes:
    """Columns side by side as float32, shape (N, columns)."""
    return np.stack(columns, axis=1).astype("<f4").tobytes() if columns else b""


def _join(parts: list[bytes], dtype: np.dtype[Any], *row_shape: int) -> NDArray[Any]:
    """A writable array, as a simulation in this process returns."""
    return np.frombuffer(bytearray().join(parts), dtype=dtype).reshape(-1, *row_shape)


def _hits(reply: pb.SimulateResponse) -> Hits:
    return Hits(
        _join([reply.hits.offsets], np.dtype("<u8")),
        _join([reply.hits.fibre], np.dtype("<u2")),
        _join([reply.hits.photons], _dtype(reply.photon_type)),
    )
