"""`grpc.health.v1.Health`, for Kubernetes and load balancers."""

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any

import grpc
from zdc_common.errors import ModelNotFoundError, NotReadyError, excerpt

from zdc_service.messages.published import (
    HEALTH,
    HealthCheckRequest,
    HealthCheckResponse,
    HealthListRequest,
    HealthListResponse,
)
from zdc_service.serving.rpc.callers import Callers
from zdc_service.serving.rpc.calls import Context
from zdc_service.serving.rpc.methods import MOST_BYTES, failed, unary
from zdc_service.telemetry.instruments import Instruments

_SERVING, _NOT_SERVING, _UNKNOWN = (
    HealthCheckResponse.ServingStatus.Value(name) for name in ("SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
)


class Health:
    """Reports one state for all services. Each watch reads the state itself, so a slow client delays no other."""

    def __init__(self, services: Iterable[str], callers: Callers, instruments: Instruments):
        """Begin with the state NOT_SERVING.

        Parameters
        ----------
        services : Full names of the services; the server as a whole is added.
        callers : Reads messages and sends answers.
        instruments : Count errors.
        """
        self._services = ("", *services)
        self._callers = callers
        self._count = partial(_count, instruments)
        self._status = _NOT_SERVING
        self._ended = False
        self._changed = asyncio.Event()

    def handler(self) -> grpc.GenericRpcHandler:
        """The handler to register with a server."""
        methods = {
            "Check": unary(self._callers, HealthCheckRequest, self._check, self._count),
            "Watch": grpc.stream_stream_rpc_method_handler(self._watch),
            "List": unary(self._callers, HealthListRequest, self._list, self._count),
        }
        return grpc.method_handlers_generic_handler(HEALTH, methods)

    def serve(self, serving: bool) -> None:
        """Change the state, and report it to all watches."""
        self._status = _SERVING if serving else _NOT_SERVING
        self._tell()

    def end(self) -> None:
        """End the watches after they have reported the last state."""
        self._ended = True
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _check(self, message: Any) -> Any:
        if message.service not in self._services:
            raise ModelNotFoundError(f"there is no service {excerpt(message.service)}; there are {self._services[1:]}")
        return HealthCheckResponse(status=self._status)

    async def _list(self, _message: Any) -> Any:
        return HealthListResponse(statuses={name: HealthCheckResponse(status=self._status) for name in self._services})

    async def _watch(self, _messages: object, context: Context) -> None:
        try:
            message: Any = await self._callers.message(HealthCheckRequest, context, MOST_BYTES)
            told = None
            while True:
                changed = self._changed
                status = self._status if message.service in self._services else _UNKNOWN
                if status != told:
                    await self._callers.send(context, HealthCheckResponse(status=status).SerializeToString())
                    told = status
                elif self._ended:
                    raise NotReadyError("the server is shutting down; watch another server")
                else:
                    await changed.wait()
        except Exception as error:
            await failed(context, error, "Watch", self._count)


def _count(instruments: Instruments, kind: str) -> None:
    instruments.requests.labels("grpc", kind).inc()
