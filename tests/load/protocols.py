"""Calls to a server by bare httpx and grpc.

Requests are put together once. Replies are received whole, but their arrays are not looked at: what is measured is
the server, beside a client that costs little.
"""

from collections.abc import Callable

import grpc
import httpx
import orjson
from zdc_service.client.columns import columns_to_send
from zdc_service.client.grpc_client import message_of_request
from zdc_service.codecs import JSON
from zdc_service.http.simulate import SIMULATE_PATH
from zdc_service.rpc import simulation_pb2 as pb
from zdc_service.rpc.service import SERVICE_NAME
from zdc_service.simulation import SimulationRequest

TIMEOUT = 120.0


def http_call(client: httpx.Client, request: SimulationRequest, media_type: str) -> Callable[[], int]:
    """One ``POST /simulate`` on a kept connection, particles as JSON columns, answered as a media type."""
    fields = {
        "particles": columns_to_send(request.particles),
        "seed": request.seed,
        "output": request.output.value,
        "model": request.model,
    }
    body = orjson.dumps(fields, option=orjson.OPT_SERIALIZE_NUMPY)

    def call() -> int:
        reply = client.post(SIMULATE_PATH, content=body, headers={"Content-Type": JSON, "Accept": media_type})
        if reply.status_code != httpx.codes.OK:
            raise RuntimeError(f"HTTP {reply.status_code}: {reply.text[:500]}")
        return len(request.particles)

    return call


def grpc_call(channel: grpc.Channel, request: SimulationRequest) -> Callable[[], int]:
    """One ``SimulateStream`` on a shared channel, as the client library does for each of its requests."""
    stream = channel.stream_stream(
        f"/{SERVICE_NAME}/SimulateStream",
        request_serializer=pb.SimulateRequest.SerializeToString,
        response_deserializer=pb.SimulateResponse.FromString,
    )
    message = message_of_request(request)

    def call() -> int:
        rows = sum(len(reply.side) for reply in stream(iter([message]), timeout=TIMEOUT))
        if rows != len(request.particles):
            raise RuntimeError(f"the stream brought {rows} rows for {len(request.particles)} particles")
        return rows

    return call
