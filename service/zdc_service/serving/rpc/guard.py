"""Who is let through to the gRPC services: callers with a token, while the server stays, and probes."""

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
    """Turns calls away that are too many, and all once the server ends; others go on to the handlers added after it.

    gRPC itself cancels calls that arrive while it shuts down, which callers take for a failure and not for a refusal.

    Attributes
    ----------
    last_call, last_end : When a call last arrived, and was last answered, on the clock of `time.monotonic`.
    """

    def __init__(self, most: int, refused: Callable[[str], None]):
        """Let `most` calls be under way, and as many probes; `refused` is called with the kind of each refusal."""
        self.last_call = self.last_end = -math.inf
        self._closed = False
        self._most = most
        self._refused = refused
        self._under_way = {False: 0, True: 0}  # calls, probes

    @property
    def calls(self) -> int:
        """How many are under way, without probes."""
        return self._under_way[False]

    def close(self) -> None:
        """Answer UNAVAILABLE from now on, except to probes."""
        self._closed = True

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> _Handler:
        """The handler of a call that is turned away."""
        self.last_call = time.monotonic()
        probe = handler_call_details.method.startswith(_PROBES)
        if self._closed and not probe:
            return self._refuse(NotReadyError("the server is shutting down; ask another one"))
        if self._under_way[probe] >= self._most:
            return self._refuse(
                OverloadedError(
                    f"{self._most} calls are under way, as many as --max-connections allows; try again later"
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

    # A stream in both directions ends calls of every form at once, without waiting for their first message.
    return grpc.stream_stream_rpc_method_handler(refuse)
