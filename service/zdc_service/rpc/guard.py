"""Who is let through to the gRPC services: callers with a token, while the server stays, and probes."""

import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc
import grpc.aio
from zdc_detector.errors import NotReadyError, UnauthenticatedError, ZdcError

from zdc_service.access.tokens import Tokens
from zdc_service.rpc.calls import abort, authorization

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
            try:
                self._tokens.check(authorization(handler_call_details.invocation_metadata))
            except UnauthenticatedError as error:
                self._refused()
                return _refusing(error)
        return await continuation(handler_call_details)


class Gate(grpc.GenericRpcHandler):
    """Turns calls away once the server ends; until then it passes them on to the handlers that are added after it.

    gRPC itself cancels calls that arrive while it shuts down, which callers take for a failure and not for a refusal.

    Attributes
    ----------
    last_call : When a call last arrived, on the clock of `time.monotonic`.
    """

    def __init__(self) -> None:
        self.last_call = -math.inf
        self._closed = False

    def close(self) -> None:
        """Answer UNAVAILABLE from now on, except to probes."""
        self._closed = True

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> _Handler:
        """The handler of a call that is turned away."""
        self.last_call = time.monotonic()
        if self._closed and not handler_call_details.method.startswith(_PROBES):
            return _refusing(NotReadyError("the server is shutting down; ask another one"))
        return None


def _refusing(error: ZdcError) -> _Handler:
    async def refuse(_messages: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await abort(context, error)

    # A stream in both directions ends calls of every form at once, without waiting for their first message.
    return grpc.stream_stream_rpc_method_handler(refuse)
