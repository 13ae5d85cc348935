"""OpenTelemetry server spans of gRPC calls."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
import grpc.aio

from zdc_service.serving.rpc.calls import Context
from zdc_service.serving.rpc.connections import address_of
from zdc_service.serving.tracing import Tracing

#: None if the method does not exist.
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
_Method = Callable[[Any, Context], Awaitable[Any]]

#: Statuses that are errors of the server by OpenTelemetry's semantic conventions.
_FAILURES = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}


class TracedCalls(grpc.aio.ServerInterceptor):
    """Runs calls of some methods within a span."""

    def __init__(self, tracing: Tracing, methods: frozenset[str]):
        """Trace `methods`, given as ``/package.Service/Method``."""
        self._tracing = tracing
        self._methods = methods

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        """Pass the call on, within a span if its method is traced."""
        handler = await continuation(handler_call_details)
        name = str(handler_call_details.method)
        if handler is None or name not in self._methods:
            return handler
        coding = handler.request_deserializer, handler.response_serializer
        answer: Any = handler.stream_stream or handler.stream_unary
        traced = self._within_span(name.removeprefix("/"), answer)
        if handler.stream_stream is not None:
            return grpc.stream_stream_rpc_method_handler(traced, *coding)
        return grpc.stream_unary_rpc_method_handler(traced, *coding)

    def _within_span(self, method: str, answer: _Method) -> Any:
        async def answer_within_span(asked: "Any | AsyncIterator[Any]", context: Context) -> Any:
            metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
            attributes = {"rpc.system.name": "grpc", "rpc.method": method, **_caller(context.peer())}
            if "user-agent" in metadata:
                attributes["user_agent.original"] = metadata["user-agent"]
            with self._tracing.request(method, metadata, attributes) as span:
                status = "OK"
                try:
                    return await answer(asked, context)
                except asyncio.CancelledError:
                    left = context.time_remaining()
                    status = "CANCELLED" if left is None or left > 0 else "DEADLINE_EXCEEDED"
                    raise
                except BaseException:
                    status = _status_of(context)
                    raise
                finally:
                    span.set_attribute("rpc.response.status_code", status)
                    if status in _FAILURES:
                        self._tracing.failed(span, status)

        return answer_within_span


def _status_of(context: Context) -> str:
    """Name of the status with which a call ended."""
    code = context.code()
    return code.name if isinstance(code, grpc.StatusCode) else "UNKNOWN"


def _caller(peer: str) -> dict[str, str]:
    address = address_of(peer)
    return {} if address is None else {"client.address": address[0]}
