"""`POST /simulate`: through FastAPI for JSON, straight to the exchange for binary bodies."""

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
Simulates calorimeter responses. `Content-Type` tells the form of the particles:

- `{JSON}` (default): the object below, and no query;
- `{RAW}`: rows of little-endian float32 numbers, `{",".join(ROW_COLUMNS)}` of each particle unless `columns` in the
  query names others. Everything else stands in the query as well, with the names of the JSON object;
- `{NPY}`: the same rows as a NumPy file of any number type, or records whose fields are columns.

`Accept` chooses the form of the answer:

- `{JSON}` (default);
- `{NPZ}`: the same arrays for `numpy.load`, with `hits_offsets`, `hits_fibre` and `hits_photons` for hits;
- `{NPY}`: `response`, or `channels`, as a NumPy file;
- `{RAW}`: `response`, or `channels`, or the three arrays of hits, as little-endian numbers one after the other;
- `{ARRAYS}`: all arrays in that way; `X-Zdc-Shape` and `X-Zdc-Channels` give the face and the channels' names.

`{ARRAYS_HEADER}` lists the arrays of the last two as `name;type;shape`. Counts are integers; `;dtype=float32` after a
binary media type makes them floats. `Accept-Encoding: {ZSTD}` compresses the answer, `Content-Encoding: {ZSTD}`, `gzip`
or `deflate` says that the body is. `X-Zdc-Timeout-Ms` is the time after which nobody waits for the answer.

The headers `X-Zdc-Model`, `-Version`, `-Seed`, `-First-Row`, `-Repeats` and `-Finish` repeat the scalars in every form,
`-Skipped` and `-Extrapolated` the counts by reason where there are any; `Server-Timing` says where the time went.
""".strip()

_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}


def _query_parameters() -> list[dict[str, Any]]:
    schema = SimulateQuery.model_json_schema()
    return [
        {"name": name, "in": "query", "schema": field, "description": "Binary bodies only."}
        for name, field in schema["properties"].items()
    ]


def simulate_router(exchange: Exchange) -> APIRouter:
    """The route of JSON bodies, whose page in /docs describes the others too."""
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
    """A request from its JSON; raises UnsupportedMediaError for bodies that say to be something else."""
    media_type = JSON if content_type is None else _media_type(content_type)
    if media_type != JSON and not media_type.endswith("+json"):
        readable = ", ".join((JSON, *MEDIA_TYPES))
        raise UnsupportedMediaError(
            f"Content-Type {excerpt(media_type)} is not read by {SIMULATE_PATH}; send {readable}"
        )
    if query:
        raise InvalidInputError(
            f"query {excerpt(query)}: options of a JSON body are members of its object; a query is for bodies of "
            f"{' and '.join(MEDIA_TYPES)}"
        )
    return parse_request(body, most_rows)


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


class BinaryDoor:
    """Takes binary bodies of `POST /simulate` past FastAPI, which would cost a single particle as much as the rest."""

    def __init__(self, app: ASGIApp, exchange: Exchange):
        self._app = app
        self._exchange = exchange

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on to the application."""
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
