"""The route `POST /simulate`: JSON bodies pass through FastAPI, binary bodies go directly to the exchange."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from zdc_common.errors import InvalidInputError, UnsupportedMediaError, excerpt

from zdc_service.codecs import ARRAYS, ARRAYS_HEADER, JSON, NPY, NPZ, RAW, ZSTD
from zdc_service.serving.http.binary import MEDIA_TYPES, parse_binary
from zdc_service.serving.http.documented import SimulateReply
from zdc_service.serving.http.exchange import Exchange
from zdc_service.serving.http.schema import EXAMPLES, ROW_COLUMNS, SimulateBody, SimulateQuery, parse_request
from zdc_service.simulation import SimulationRequest

SIMULATE_PATH = "/simulate"

_DESCRIPTION = f"""
Simulates calorimeter responses. The header `Content-Type` gives the form of the particles:

- `{JSON}` (default): the object described below, without a query;
- `{RAW}`: rows of little-endian float32 numbers. The columns of a row are `{",".join(ROW_COLUMNS)}`, or those of the
  query parameter `columns`. All options are query parameters with the names of the JSON object;
- `{NPY}`: the same rows as a NumPy file of any number type, or an array of records whose fields are the columns.

The header `Accept` chooses the form of the answer:

- `{JSON}` (default);
- `{NPZ}`: the same arrays for `numpy.load`, with `hits_offsets`, `hits_fibre` and `hits_photons` for hits;
- `{NPY}`: only `response` or `channels`, as a NumPy file;
- `{RAW}`: only `response`, `channels` or the three arrays of hits, as little-endian numbers one after the other;
- `{ARRAYS}`: all arrays, as little-endian numbers one after the other. The headers `X-Zdc-Shape` and `X-Zdc-Channels`
  give the shape of the face and the names of the channels.

For the last two forms, the header `{ARRAYS_HEADER}` lists the arrays as `name;type;shape`. Photon counts are integers;
add `;dtype=float32` to a binary media type to get floats. Send `Accept-Encoding: {ZSTD}` to get a compressed answer,
and `Content-Encoding: {ZSTD}`, `gzip` or `deflate` if the body is compressed. Send `X-Zdc-Timeout-Ms` to limit the time
for the answer in milliseconds; after that time the server drops the request.

In every form the headers `X-Zdc-Model`, `-Version`, `-Seed`, `-First-Row`, `-Repeats`, `-Finish` and `-Frame` repeat
the scalar values. The headers `X-Zdc-Skipped` and `-Extrapolated` give the numbers of skipped and extrapolated
particles by reason, if there are any. The header `Server-Timing` gives the duration of each stage.
""".strip()

_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}


def _query_parameters() -> list[dict[str, Any]]:
    schema = SimulateQuery.model_json_schema()
    return [
        {
            "name": name,
            "in": "query",
            "schema": field,
            "description": f"{field['description']}. For binary bodies only.",
        }
        for name, field in schema["properties"].items()
    ]


def simulate_router(exchange: Exchange) -> APIRouter:
    """The route for JSON bodies; its description in /docs includes the binary bodies."""
    router = APIRouter()

    @router.post(
        SIMULATE_PATH,
        summary="Simulate calorimeter responses",
        description=_DESCRIPTION,
        tags=["simulation"],
        response_class=Response,
        openapi_extra={
            "parameters": _query_parameters(),
            "requestBody": {
                "required": True,
                "content": {
                    JSON: {"schema": SimulateBody.model_json_schema(), "examples": EXAMPLES},
                    **dict.fromkeys(MEDIA_TYPES, _BINARY),
                },
            },
        },
        responses={
            200: {
                "description": "The simulated rows",
                "model": SimulateReply,
                "content": {JSON: {}, **dict.fromkeys((NPZ, NPY, RAW, ARRAYS), _BINARY)},
            }
        },
    )
    async def simulate(request: Request) -> Response:
        parse = partial(_parse_json, request.headers.get("content-type"), request.url.query)
        reply = await exchange.answer(request.headers, request.receive, parse)
        return reply.response()

    return router


def _parse_json(content_type: str | None, query: str, body: bytes, most_rows: int) -> SimulationRequest:
    """Parse a JSON request; raises UnsupportedMediaError if the Content-Type is not JSON."""
    media_type = JSON if content_type is None else _media_type(content_type)
    if media_type != JSON and not media_type.endswith("+json"):
        readable = ", ".join((JSON, *MEDIA_TYPES))
        raise UnsupportedMediaError(
            f"Content-Type {excerpt(media_type)} is not supported by {SIMULATE_PATH}; send {readable}"
        )
    if query:
        raise InvalidInputError(
            f"query {excerpt(query)}: put the options of a JSON request into its object; a query is only for bodies of "
            f"{' and '.join(MEDIA_TYPES)}"
        )
    return parse_request(body, most_rows)


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


class BinaryDoor:
    """Answers `POST /simulate` with binary bodies without FastAPI, which would double the time for one particle."""

    def __init__(self, app: ASGIApp, exchange: Exchange):
        self._app = app
        self._exchange = exchange

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or pass it on to the application."""
        if scope["type"] != "http" or scope["path"] != SIMULATE_PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        media_type = _media_type(headers.get("content-type", ""))
        if media_type not in MEDIA_TYPES:
            await self._app(scope, receive, send)
            return
        parse = partial(parse_binary, media_type, scope["query_string"].decode("latin-1"))
        reply = await self._exchange.answer(headers, receive, parse)
        await reply.send(send)
