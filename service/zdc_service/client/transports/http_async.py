"""The asyncio client over HTTP."""

import asyncio

import httpx

from zdc_service.client.async_base import AsyncClient
from zdc_service.client.errors import too_late
from zdc_service.client.options import ClientOptions
from zdc_service.client.transports.credentials import Credentials
from zdc_service.client.transports.http_client import SIMULATE_PATH, HttpEndpoint, json_of_request
from zdc_service.simulation import SimulationRequest, SimulationResult


class AsyncHttpClient(AsyncClient):
    """Sends POST requests to ``<url>/simulate`` over a pool of persistent connections."""

    def __init__(self, url: str, options: ClientOptions, credentials: Credentials):
        super().__init__(options, url)
        self._server = HttpEndpoint(url, options, credentials)
        # httpx limits each step of a request; asyncio.timeout below limits the whole request.
        timeout = httpx.Timeout(None, connect=self._server.connect_seconds)
        self._http = httpx.AsyncClient(
            base_url=url,
            timeout=timeout,
            limits=self._server.limits,
            verify=self._server.verify,
            **self._server.connection,
        )

    async def _exchange(self, request: SimulationRequest) -> SimulationResult:
        server, body = self._server, bytearray()
        content, headers = json_of_request(request), server.headers()
        try:
            async with (
                asyncio.timeout(server.timeout_seconds),
                self._http.stream("POST", SIMULATE_PATH, content=content, headers=headers) as reply,
            ):
                async for piece in reply.aiter_bytes():
                    body += piece
        except TimeoutError as error:
            raise too_late(server.url, server.timeout_seconds) from error
        except httpx.RequestError as error:
            raise await asyncio.to_thread(server.error, error) from error  # a thread: it may connect to the server
        return server.result(request, reply, body)

    async def _disconnect(self) -> None:
        await self._http.aclose()
