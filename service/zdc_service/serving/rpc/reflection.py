"""`grpc.reflection.v1.ServerReflection` and its older version, so that grpcurl and others need no proto file."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import grpc
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from zdc_service.messages.published import POOL, REFLECTIONS, ServerReflectionRequest, ServerReflectionResponse
from zdc_service.serving.rpc.callers import Callers
from zdc_service.serving.rpc.calls import Context
from zdc_service.serving.rpc.methods import failed
from zdc_service.telemetry.instruments import Instruments

_INVALID, _NOT_FOUND = (code.value[0] for code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND))


class Reflection:
    """Describes the services of a server."""

    def __init__(self, services: Sequence[str], callers: Callers, instruments: Instruments):
        """Describe some services.

        Parameters
        ----------
        services : Full names of the services.
        callers : Reads messages and sends answers.
        instruments : Count errors.
        """
        self._services = sorted(services)
        self._callers = callers
        self._instruments = instruments

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """The handlers to register with a server."""
        methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(self._answer_all)
        }
        return [grpc.method_handlers_generic_handler(name, methods) for name in REFLECTIONS]

    async def _answer_all(self, _messages: object, context: Context) -> None:
        try:
            async for question in self._callers.messages(ServerReflectionRequest, context):
                answer = self._answer(question)
                answer.valid_host = question.host
                answer.original_request.CopyFrom(question)
                await self._callers.send(context, answer.SerializeToString())
        except Exception as error:
            await failed(context, error, "ServerReflectionInfo", partial(_count, self._instruments))

    def _answer(self, question: Any) -> Any:
        asked = question.WhichOneof("message_request")
        try:
            if asked == "list_services":
                return ServerReflectionResponse(
                    list_services_response={"service": [{"name": name} for name in self._services]}
                )
            if asked == "file_by_filename":
                return _described(POOL.FindFileByName(question.file_by_filename))
            if asked == "file_containing_symbol":
                return _described(POOL.FindFileContainingSymbol(question.file_containing_symbol))
            if asked == "all_extension_numbers_of_type":  # none of our messages has extensions
                name = POOL.FindMessageTypeByName(question.all_extension_numbers_of_type).full_name
                return ServerReflectionResponse(all_extension_numbers_response={"base_type_name": name})
        except KeyError:
            return _error(_NOT_FOUND, "there is no such file or symbol")
        if asked == "file_containing_extension":
            return _error(_NOT_FOUND, "there are no extensions")
        return _error(_INVALID, "the request is empty; set one field of message_request")


def _described(file: FileDescriptor) -> Any:
    """The answer with one proto file; none of our files imports another."""
    described = FileDescriptorProto()
    file.CopyToProto(described)
    return ServerReflectionResponse(file_descriptor_response={"file_descriptor_proto": [described.SerializeToString()]})


def _error(code: int, message: str) -> Any:
    return ServerReflectionResponse(error_response={"error_code": code, "error_message": message})


def _count(instruments: Instruments, kind: str) -> None:
    instruments.requests.labels("grpc", kind).inc()
