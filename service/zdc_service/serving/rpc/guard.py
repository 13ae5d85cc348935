"""Access to the gRPC services: checks tokens and the number of calls, and refuses calls during shutdown."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc
import grpc.aio
from zdc_common.errors import NotReadyError, OverloadedError, UnauthenticatedError, ZdcError

from zdc_service.access.tokens import Tokens
from zdc_service.serving.rpc.calls import abort, authorization

#: Methods of probes, which send no token.
_PROBES = (
    "/grpc.health.v1.Health/",
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ServerReady",
)

#: None if the method does not exist.
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"


class RpcGuard(grpc.aio.ServerInterceptor):
    """Passes on calls with a valid token, and probes."""

    def __init__(self, tokens: Tokens, refused: Callable[[], None]):
        """Check calls with `tokens`; `refused` is called for every refused call."""
        self._tokens = tokens
        self._refused = refused

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        """Answer UNAUTHENTICATED if the call has no valid token, else pass it on."""
        if not handler_call_details.method.startswith(_PROBES):
            try:
                self._tokens.check(authorization(handler_call_details.invocation_metadata))
            except UnauthenticatedError as error:
                self._refused()
                return _refusing(error)
        return await continuation(handler_call_details)


class Gate(grpc.GenericRpcHandler):
    """Refuses calls above a maximum number, and all calls during shutdown; other calls go to the next handlers.

    gRPC itself cancels calls that arrive while it shuts down. Clients would treat this as a failure of the call, and
    would not try another server.

    Attributes
    ----------
    last_call, last_end : Time of the last call, and of the last answer, on the clock of `time.monotonic`.
    """

    def __init__(self, most: int, refused: Callable[[str], None]):
        """Allow `most` calls at a time, and as many probes; `refused` is called with the kind of each refusal."""
        self.last_call = self.last_end = -math.inf
        self._closed = False
        self._most = most
        self._refused = refused
        self._under_way = {False: 0, True: 0}  # calls, probes

    @property
    def calls(self) -> int:
        """Number of calls in progress, without probes."""
        return self._under_way[False]

    def close(self) -> None:
        """Answer UNAVAILABLE from now on, except to probes."""
        self._closed = True

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> _Handler:
        """The handler that refuses a call, or None to pass the call on."""
        self.last_call = time.monotonic()
        probe = handler_call_details.method.startswith(_PROBES)
        if self._closed and not probe:
            return self._refuse(NotReadyError("the server is shutting down; use another server"))
        if self._under_way[probe] >= self._most:
            return self._refuse(
                OverloadedError(
                    f"{self._most} calls are in progress, as many as --max-connections allows; try again later"
                )
            )
        task = asyncio.current_task()  # of this call
        if task is not None:
            self._under_way[probe] += 1
            task.add_done_callback(self._probe_ended if probe else self._call_ended)
        return None

    def _refuse(self, error: ZdcError) -> _Handler:
        self._refused(error.kind)
        return _refusing(error)

    def _call_ended(self, _: object) -> None:
        self._under_way[False] -= 1
        self.last_end = time.monotonic()

    def _probe_ended(self, _: object) -> None:
        self._under_way[True] -= 1


def _refusing(error: ZdcError) -> _Handler:
    async def refuse(_messages: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await abort(context, error)

    # A handler for streams in both directions can end calls of every form at once, without waiting for a message.
    return grpc.stream_stream_rpc_method_handler(refuse)
