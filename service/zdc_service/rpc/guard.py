"""Tokens of gRPC callers."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc
import grpc.aio
from zdc_detector.errors import UnauthenticatedError

from zdc_service.access.tokens import Tokens
from zdc_service.status import GRPC_KIND_KEY, STATUSES

#: What probes ask for; they carry no token.
_PROBES = (
    "/grpc.health.v1.Health/",
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ServerReady",
)

#: None stands for a method that there is not.
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"


class RpcGuard(grpc.aio.ServerInterceptor):
    """Lets calls with a token, and probes, through."""

    def __init__(self, tokens: Tokens, refused: Callable[[], None]):
        """Check with `tokens`; `refused` is called for every caller that is sent away."""
        self._tokens = tokens
        self._refused = refused

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        """Answer UNAUTHENTICATED where the call carries no known token."""
        if not handler_call_details.method.startswith(_PROBES):
            metadata = handler_call_details.invocation_metadata
            given = next((value for name, value in metadata if name == "authorization"), None)
            try:
                self._tokens.check(given)
            except UnauthenticatedError as error:
                self._refused()
                return _refusing(error)
        return await continuation(handler_call_details)


def _refusing(error: UnauthenticatedError) -> _Handler:
    async def refuse(_messages: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await context.abort(STATUSES[error.kind][1], str(error), ((GRPC_KIND_KEY, error.kind),))

    # A stream in both directions ends calls of every form at once, without waiting for their first message.
    return grpc.stream_stream_rpc_method_handler(refuse)
