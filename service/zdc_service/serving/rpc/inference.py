"""`inference.GRPCInferenceService`: the Open Inference Protocol over gRPC."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import grpc
import grpc.aio
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from zdc_common.errors import InvalidInputError, ModelNotFoundError, TooLargeError, ZdcError, excerpt

from zdc_service.deadlines import within
from zdc_service.messages import inference_pb2 as pb
from zdc_service.serving.inference.metadata import server_metadata
from zdc_service.serving.inference.models import Asked, Authorize, Models
from zdc_service.serving.inference.reply import InferenceReply, reply_of
from zdc_service.serving.rpc.callers import Callers
from zdc_service.serving.rpc.calls import Context, authorization, deadline_of
from zdc_service.serving.rpc.inference_convert import (
    parameter_values,
    read_infer,
    write_infer,
    write_stream_error,
    write_stream_infer,
)
from zdc_service.serving.rpc.methods import failed, unary, whole
from zdc_service.serving.rpc.window import Window
from zdc_service.serving.tracing import trace_reply
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import SimulationResult
from zdc_service.status import kind_of, message_of

log = logging.getLogger(__name__)

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
#: Labels of this interface in the Prometheus metrics.
PROTOCOL, STREAM_PROTOCOL = "grpc_v2", "grpc_v2_stream"

#: Larger requests are checked, and larger answers encoded, on another thread.
_LARGE_BYTES = 256 * 1024
#: Maximum size of a protobuf message, less the names and shapes in it.
_LARGEST_REPLY = 2**31 - 4096
#: Minimum number of bytes counted for a reply.
_SMALLEST_REPLY = 1024


@dataclass(frozen=True)
class _Pending:
    """A request of a stream that is not answered yet.

    Attributes
    ----------
    id : Id of the request.
    outputs : Names of the requested outputs.
    result : The result; has an exception if the request was not accepted.
    """

    id: str
    outputs: tuple[str, ...]
    result: "asyncio.Future[SimulationResult]"


#: Requests of one stream in order; an exception or None ends the stream.
_Queue: TypeAlias = "asyncio.Queue[_Pending | Exception | None]"


class InferenceService:
    """The methods of the service."""

    def __init__(
        self,
        simulator: Simulator,
        callers: Callers,
        ready: Callable[[], bool],
        request_seconds: float | None = None,
        administrator: Authorize | None = None,
    ):
        """Bind the methods to a simulator.

        Parameters
        ----------
        simulator : Computes the responses.
        callers : Reads messages and sends answers.
        ready : Returns whether the server accepts new requests.
        request_seconds : Maximum time for an answer; a client's deadline may be earlier.
        administrator : Checks the token of a client that loads or unloads a model; by default every client may do so.
        """
        self._callers = callers
        self._request_seconds = request_seconds
        self._models = Models(simulator, administrator)
        self._ready = ready
        self._requests = simulator.instruments.requests
        protocols = (PROTOCOL, STREAM_PROTOCOL)  # looking up labels takes longer than counting
        self._succeeded = {protocol: self._requests.labels(protocol, "ok") for protocol in protocols}
        self._encode_seconds = {
            protocol: simulator.instruments.encode_seconds.labels(protocol) for protocol in protocols
        }

    def handler(self) -> grpc.GenericRpcHandler:
        """The handler to register with a server."""
        methods = {
            "ModelInfer": whole(self.model_infer),
            "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(self.model_stream_infer),
            "ServerLive": self._unary(pb.ServerLiveRequest, self._server_live),
            "ServerReady": self._unary(pb.ServerReadyRequest, self._server_ready),
            "ServerMetadata": self._unary(pb.ServerMetadataRequest, self._server_metadata),
            "ModelReady": self._unary(pb.ModelReadyRequest, self._model_ready),
            "ModelMetadata": self._unary(pb.ModelMetadataRequest, self._model_metadata),
            "ModelConfig": self._unary(pb.ModelConfigRequest, self._model_config),
            "ModelStatistics": self._unary(pb.ModelStatisticsRequest, self._model_statistics),
            "RepositoryIndex": self._unary(pb.RepositoryIndexRequest, self._index),
            "RepositoryModelLoad": self._unary(pb.RepositoryModelLoadRequest, self._load, self._check_administrator),
            "RepositoryModelUnload": self._unary(
                pb.RepositoryModelUnloadRequest, self._unload, self._check_administrator
            ),
        }
        return grpc.method_handlers_generic_handler(SERVICE_NAME, methods)

    def _unary(
        self,
        request: type[Message],
        answer: Callable[[Any], Awaitable[Message]],
        check: Callable[[Context], None] = lambda _: None,
    ) -> "grpc.RpcMethodHandler[Any, Any]":
        return unary(self._callers, request, answer, partial(self._count, PROTOCOL), check)

    def _count(self, protocol: str, kind: str) -> None:
        self._requests.labels(protocol, kind).inc()

    async def model_infer(self, _messages: object, context: Context) -> bytes:
        """Answer one request with one reply."""
        try:
            message = await self._callers.message(pb.ModelInferRequest, context)
            asked = await self._read(message, deadline_of(context))
            result = await self._models.dispatch(asked)
            reply = await self._write(write_infer, result, message.id, asked.outputs, PROTOCOL)
            self._callers.hand_over(context, reply)
        except Exception as error:
            await failed(context, error, PROTOCOL, partial(self._count, PROTOCOL))
        except asyncio.CancelledError:
            self._requests.labels(PROTOCOL, "cancelled").inc()
            raise
        self._succeeded[PROTOCOL].inc()
        return reply

    async def model_stream_infer(self, _messages: object, context: Context) -> None:
        """Send replies in the order of the requests, computed at most a `Window` ahead of the client's reading."""
        window = Window(self._callers)
        pending: _Queue = asyncio.Queue()
        accepting = asyncio.create_task(self._accept_all(context, window, pending))

        def give_up(error: ZdcError) -> None:
            accepting.cancel()
            _drop(pending)
            window.close(sending=1)
            pending.put_nowait(error)

        try:
            while (one := await pending.get()) is not None:
                if isinstance(one, Exception):
                    raise one
                await self._callers.send(context, await self._stream_reply(one), give_up)
                window.release()
        except Exception as error:
            await failed(context, error, STREAM_PROTOCOL, partial(self._count, STREAM_PROTOCOL))
        except asyncio.CancelledError:
            self._count(STREAM_PROTOCOL, "cancelled")
            raise
        finally:
            accepting.cancel()
            window.close()
            _drop(pending)

    async def _accept_all(self, context: Context, window: Window, pending: _Queue) -> None:
        try:
            deadline = deadline_of(context)
            async for message in self._callers.messages(pb.ModelInferRequest, context):
                pending.put_nowait(await self._accept(message, deadline, window))
            pending.put_nowait(None)
        except Exception as error:  # shutdown, or an invalid message: the stream ends
            pending.put_nowait(error)

    async def _accept(self, message: pb.ModelInferRequest, deadline: float | None, window: Window) -> _Pending:
        try:
            asked = await self._read(message, deadline)
        except Exception as error:
            await window.acquire(_SMALLEST_REPLY)
            return _Pending(message.id, (), _failed_with(error))
        await window.acquire(_SMALLEST_REPLY + asked.reply_bytes)
        try:
            result = self._models.dispatch(asked)
        except Exception as error:
            result = _failed_with(error)
        return _Pending(message.id, asked.outputs, result)

    async def _stream_reply(self, one: _Pending) -> bytes:
        try:
            result = await one.result
            reply = await self._write(write_stream_infer, result, one.id, one.outputs, STREAM_PROTOCOL)
        except Exception as error:
            self._failed(error, STREAM_PROTOCOL)
            return write_stream_error(one.id, message_of(error))
        self._succeeded[STREAM_PROTOCOL].inc()
        return reply

    async def _read(self, message: pb.ModelInferRequest, deadline: float | None) -> Asked:
        limit = within(deadline, self._request_seconds)
        large = message.ByteSize() > _LARGE_BYTES

        def read() -> Asked:
            read = partial(read_infer, message)
            asked = self._models.understand(message.model_name, message.model_version, read, limit, check=large)
            if asked.reply_bytes > _LARGEST_REPLY:
                raise TooLargeError(
                    f"the answer would have {asked.reply_bytes} bytes, but a gRPC message has at most "
                    f"{_LARGEST_REPLY}; split the particles, or request only channels"
                )
            return asked

        return await asyncio.to_thread(read) if large else read()

    async def _write(
        self,
        write: Callable[[InferenceReply], bytes],
        result: SimulationResult,
        request_id: str,
        outputs: tuple[str, ...],
        protocol: str,
    ) -> bytes:
        def reply() -> bytes:
            return write(reply_of(result, request_id, outputs))

        began = time.monotonic()
        large = result.response is not None and result.response.nbytes > _LARGE_BYTES
        written = await asyncio.to_thread(reply) if large else reply()
        seconds = time.monotonic() - began
        self._encode_seconds[protocol].observe(seconds)
        trace_reply(result, seconds)
        return written

    def _failed(self, error: Exception, protocol: str) -> None:
        kind = kind_of(error)
        if kind == "internal":
            log.error("%s failed", protocol, exc_info=error)
        self._count(protocol, kind)

    async def _server_live(self, _: pb.ServerLiveRequest) -> Message:
        return pb.ServerLiveResponse(live=True)

    async def _server_ready(self, _: pb.ServerReadyRequest) -> Message:
        return pb.ServerReadyResponse(ready=self._ready())

    async def _server_metadata(self, _: pb.ServerMetadataRequest) -> Message:
        return ParseDict(server_metadata(), pb.ServerMetadataResponse())

    async def _model_ready(self, message: pb.ModelReadyRequest) -> Message:
        try:
            self._models.check_loaded(message.name, message.version)
        except ModelNotFoundError:
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=self._ready())

    async def _model_metadata(self, message: pb.ModelMetadataRequest) -> Message:
        return ParseDict(self._models.metadata(message.name, message.version), pb.ModelMetadataResponse())

    async def _model_config(self, message: pb.ModelConfigRequest) -> Message:
        return ParseDict({"config": self._models.config(message.name, message.version)}, pb.ModelConfigResponse())

    async def _model_statistics(self, message: pb.ModelStatisticsRequest) -> Message:
        return ParseDict(self._models.statistics(message.name, message.version), pb.ModelStatisticsResponse())

    async def _index(self, message: pb.RepositoryIndexRequest) -> Message:
        _check_repository(message.repository_name)
        return ParseDict({"models": await self._models.index(message.ready)}, pb.RepositoryIndexResponse())

    def _check_administrator(self, context: Context) -> None:
        self._models.check_administrator(authorization(context.invocation_metadata()))

    async def _load(self, message: pb.RepositoryModelLoadRequest) -> Message:
        _check_repository(message.repository_name)
        await self._models.load(message.model_name, parameter_values(message.parameters))
        return pb.RepositoryModelLoadResponse()

    async def _unload(self, message: pb.RepositoryModelUnloadRequest) -> Message:
        _check_repository(message.repository_name)
        await self._models.unload(message.model_name, parameter_values(message.parameters))
        return pb.RepositoryModelUnloadResponse()


def _drop(pending: _Queue) -> None:
    while not pending.empty():
        left = pending.get_nowait()
        if isinstance(left, _Pending) and not left.result.cancel() and not left.result.cancelled():
            left.result.exception()  # asyncio warns about exceptions that are not retrieved


def _failed_with(error: Exception) -> "asyncio.Future[SimulationResult]":
    future: asyncio.Future[SimulationResult] = asyncio.get_running_loop().create_future()
    future.set_exception(error)
    return future


def _check_repository(name: str) -> None:
    if name:
        raise InvalidInputError(f"repository_name = {excerpt(name)} is unknown; leave it empty")
