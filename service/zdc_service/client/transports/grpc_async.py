"""The asyncio client over gRPC."""

import asyncio
from functools import cached_property
from typing import TYPE_CHECKING

import grpc.aio

from zdc_service.client.async_base import AsyncClient
from zdc_service.client.options import ClientOptions
from zdc_service.client.transports.credentials import Credentials
from zdc_service.client.transports.grpc_client import METHOD, GrpcEndpoint, message_of_request
from zdc_service.messages import simulation_pb2 as pb
from zdc_service.simulation import SimulationRequest, SimulationResult

if TYPE_CHECKING:  # generic for type checkers only
    Simulate = grpc.aio.UnaryStreamMultiCallable[pb.SimulateRequest, pb.SimulateResponse]


class AsyncGrpcClient(AsyncClient):
    """One stream per request on a shared channel, so that only a failed request is repeated."""

    def __init__(self, url: str, options: ClientOptions, credentials: Credentials):
        super().__init__(options, url)
        self._server = GrpcEndpoint(url, options, credentials)

    @cached_property
    def _channel(self) -> grpc.aio.Channel:
        """The channel; it is created with the first request, because it belongs to the running event loop."""
        if self._server.channel_credentials is None:
            return grpc.aio.insecure_channel(self._server.target, self._server.channel_options)
        return grpc.aio.secure_channel(
            self._server.target, self._server.channel_credentials, self._server.channel_options
        )

    @cached_property
    def _simulate(self) -> "Simulate":
        """The method, called with the whole request at once.

        If a server refuses a stream while grpc.aio still writes to it, the caller may see INTERNAL instead of the
        refusal (https://github.com/grpc/grpc/issues/36066). This cannot happen to a request that is sent in one piece.
        """
        return self._channel.unary_stream(
            METHOD,
            request_serializer=pb.SimulateRequest.SerializeToString,
            response_deserializer=pb.SimulateResponse.FromString,
        )

    async def _exchange(self, request: SimulationRequest) -> SimulationResult:
        server = self._server
        call = self._simulate(message_of_request(request), timeout=server.timeout_seconds, metadata=server.metadata())
        try:
            replies = [reply async for reply in call]
        except grpc.RpcError as error:
            raise await asyncio.to_thread(server.error, error) from error  # a thread: it may connect to the server
        finally:
            call.cancel()  # no effect if the call has ended
        return server.result(replies, request)

    async def _disconnect(self) -> None:
        if "_channel" in vars(self):
            await self._channel.close()
