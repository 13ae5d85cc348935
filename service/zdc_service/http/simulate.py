"""`POST /simulate`."""

import asyncio
import time
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect
from zdc_detector.errors import InvalidInputError, TooLargeError

from zdc_service.codecs import JSON, NPZ, RAW, check_encoding, choose_encoding, encode
from zdc_service.http.reply import SimulateReply
from zdc_service.http.schema import EXAMPLES, SimulateBody, parse_request
from zdc_service.job import Plan
from zdc_service.simulation import SimulationResult
from zdc_service.simulator import Simulator

#: Longest text of one particle with all its columns, generously.
_BYTES_PER_PARTICLE = 512
#: Bodies and answers above this are parsed and encoded on another thread, so that the event loop serves others.
_LARGE_BYTES = 64 * 1024
#: What proxies log where a caller hung up; nobody receives it.
_CLIENT_CLOSED_REQUEST = 499

SIMULATE_PATH = "/simulate"

_DESCRIPTION = f"""
Simulates calorimeter responses. `Accept` chooses the form of the answer:

- `{JSON}` (default);
- `{NPZ}`: the same arrays for `numpy.load`, with `hits_offsets`, `hits_fibre` and `hits_photons` for hits;
- `{RAW}`: `response`, or `channels`, as little-endian numbers whose shape and type stand in `X-Zdc-Shape` and
  `X-Zdc-Dtype`. It does not say which particles were skipped: take npz for that. It carries no hits.

The headers `X-Zdc-Model`, `-Version`, `-Seed`, `-First-Row`, `-Repeats`, `-Finish`, `-Skipped` and `-Extrapolated`
repeat the scalars in every form.
""".strip()

_BINARY = {"schema": {"type": "string", "format": "binary"}}


def simulate_router(simulator: Simulator) -> APIRouter:
    """The route, bound to a simulator."""
    router = APIRouter()
    max_body = simulator.max_request_rows * _BYTES_PER_PARTICLE

    @router.post(
        SIMULATE_PATH,
        summary="Simulate calorimeter responses",
        description=_DESCRIPTION,
        tags=["simulation"],
        response_class=Response,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {JSON: {"schema": SimulateBody.model_json_schema(), "examples": EXAMPLES}},
            }
        },
        responses={
            200: {
                "description": "The simulated rows",
                "model": SimulateReply,
                "content": {JSON: {}, NPZ: _BINARY, RAW: _BINARY},
            }
        },
    )
    async def simulate(request: Request) -> Response:
        media_type = choose_encoding(request.headers.get("accept"))
        try:
            body = await _read_body(request, max_body)
        except ClientDisconnect:
            return _nobody_waits(simulator)

        def prepare() -> Plan:
            parsed = parse_request(body)
            check_encoding(media_type, parsed.output)
            return simulator.plan(parsed)

        plan = await asyncio.to_thread(prepare) if len(body) > _LARGE_BYTES else prepare()
        result = await _result_unless_disconnected(request, simulator, plan)
        if result is None:
            return _nobody_waits(simulator)
        began = time.monotonic()
        large = plan.rows * plan.row_bytes > _LARGE_BYTES
        encoded = await asyncio.to_thread(encode, result, media_type) if large else encode(result, media_type)
        simulator.metrics.encode_seconds.labels("http").observe(time.monotonic() - began)
        simulator.metrics.requests.labels("http", "ok").inc()
        return Response(encoded.body, media_type=encoded.media_type, headers=dict(encoded.headers))

    return router


def _nobody_waits(simulator: Simulator) -> Response:
    simulator.metrics.requests.labels("http", "cancelled").inc()
    return Response(status_code=_CLIENT_CLOSED_REQUEST)


async def _read_body(request: Request, limit: int) -> bytes:
    coding = request.headers.get("content-encoding", "identity")
    if coding.lower() != "identity":
        raise InvalidInputError(f"Content-Encoding {coding} is not understood; send the JSON as it is")
    chunks, size = [], 0
    async for chunk in request.stream():
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            raise TooLargeError(f"the body is above {limit} bytes; split the particles over several requests")
    return b"".join(chunks)


async def _result_unless_disconnected(request: Request, simulator: Simulator, plan: Plan) -> SimulationResult | None:
    """The plan's result, or None where the caller hung up: what was still queued is dropped."""
    future = asyncio.wrap_future(simulator.submit(plan))
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        waiting: set[asyncio.Future[Any]] = {future, gone}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        return await future if future.done() else None
    finally:
        future.cancel()
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
