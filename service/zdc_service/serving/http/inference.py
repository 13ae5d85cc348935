"""The Open Inference Protocol over HTTP: all routes under ``/v2``."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send
from zdc_common.errors import NotReadyError, TooLargeError, cut

from zdc_service.deadlines import TIMEOUT_HEADER, deadline_from
from zdc_service.serving.http.content_coding import coding_of, unpacked
from zdc_service.serving.http.errors import INFERENCE_PREFIX, error_reply, is_inference, log_internal, refusal
from zdc_service.serving.http.exchange import LARGE_BYTES, NOBODY_RECEIVES, read_body, unless_hung_up
from zdc_service.serving.http.inference_body import (
    HEADER_LENGTH,
    Parsed,
    read_infer,
    read_parameters,
    read_ready,
    write_infer,
)
from zdc_service.serving.http.reply import SERVER_TIMING, Reply, server_timing
from zdc_service.serving.inference.metadata import server_metadata
from zdc_service.serving.inference.models import Asked, Authorize, Models
from zdc_service.serving.inference.reply import reply_of
from zdc_service.serving.inference.request import InferenceRequest
from zdc_service.serving.tracing import trace_reply
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import SimulationResult
from zdc_service.status import kind_of

#: Label of this interface in the Prometheus metrics.
PROTOCOL = "http_v2"

#: Maximum size of a request to the model repository. Such requests are short; a longer one would block the event loop.
_REPOSITORY_BYTES = 16 * 1024

_JSON = {"Content-Type": "application/json"}


class InferenceDoor:
    """Answers requests under `INFERENCE_PREFIX` without FastAPI; every error has the body ``{"error": "..."}``."""

    def __init__(
        self,
        app: ASGIApp,
        simulator: Simulator,
        ready: Callable[[], bool],
        body_limit: int,
        request_seconds: float | None,
        administrator: Authorize | None = None,
    ):
        """Wrap `app`.

        Parameters
        ----------
        app : The application for all other requests.
        simulator : Computes the responses.
        ready : Returns whether the server accepts new requests.
        body_limit : Maximum size of a body in bytes, before and after decompression.
        request_seconds : Maximum time for an answer; clients may ask for less.
        administrator : Checks the token of a client that loads or unloads a model; by default every client may do so.
        """
        self._app = app
        self._models = Models(simulator, administrator)
        self._ready = ready
        self._body_limit = body_limit
        self._most_rows = simulator.max_request_rows
        self._request_seconds = request_seconds
        self._requests = simulator.instruments.requests
        self._succeeded = self._requests.labels(PROTOCOL, "ok")
        self._encode_seconds = simulator.instruments.encode_seconds.labels(PROTOCOL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or pass it on to the application."""
        if scope["type"] != "http" or not is_inference(scope["path"]):
            await self._app(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            reply = await self._answer(_route(scope), headers, receive)
        except Exception as error:
            log_internal(f"{method} {path}", error)
            reply = error_reply(error, path)
        if reply is None:
            text = f"{method} {cut(path)} is not a route of the Open Inference Protocol on this server"
            reply = refusal(path, 404, "not_found", f"{text}; try GET {INFERENCE_PREFIX}")
        await reply.send(send)

    async def _answer(self, route: list[str], headers: Mapping[str, str], receive: Receive) -> Reply | None:
        """The reply, or None if there is no such route."""
        match route:
            case ["POST", "models", name, "infer"]:
                return await self._counted(self._infer(name, "", headers, receive))
            case ["POST", "models", name, "versions", version, "infer"]:
                return await self._counted(self._infer(name, version, headers, receive))
            case ["GET", *rest]:
                return self._get(rest)
            case ["POST", "repository", *rest]:
                return await self._repository(rest, headers, receive)
        return None

    def _get(self, route: list[str]) -> Reply | None:
        match route:
            case []:
                return _json(server_metadata())
            case ["health", "live"]:
                return _json({"live": True})
            case ["health", "ready"]:
                self._check_ready()
                return _json({"ready": True})
            case ["models", "stats"]:
                return _json(self._models.statistics())
            case ["models", name, "versions", version, *what]:
                return self._get_model(name, version, what)
            case ["models", name, *what]:
                return self._get_model(name, "", what)
        return None

    def _get_model(self, name: str, version: str, what: list[str]) -> Reply | None:
        match what:
            case []:
                return _json(self._models.metadata(name, version))
            case ["ready"]:
                self._models.check_loaded(name, version)
                self._check_ready()
                return _json({"name": name, "ready": True})
            case ["config"]:
                return _json(self._models.config(name, version))
            case ["stats"]:
                return _json(self._models.statistics(name, version))
        return None

    async def _repository(self, route: list[str], headers: Mapping[str, str], receive: Receive) -> Reply | None:
        if route[:1] == ["models"]:
            self._models.check_administrator(headers.get("authorization"))
        try:
            body = await read_body(receive, min(self._body_limit, _REPOSITORY_BYTES))
        except TooLargeError as error:
            raise TooLargeError(f"a request to the repository may have at most {_REPOSITORY_BYTES} bytes") from error
        if body is None:
            return NOBODY_RECEIVES
        match route:
            case ["index"]:
                return _json(await self._models.index(read_ready(body)))
            case ["models", name, "load"]:
                await self._models.load(name, read_parameters(body))
                return Reply(200)
            case ["models", name, "unload"]:
                await self._models.unload(name, read_parameters(body))
                return Reply(200)
        return None

    def _check_ready(self) -> None:
        if not self._ready():
            raise NotReadyError("shutting down")

    async def _counted(self, answer: Awaitable[Reply | None]) -> Reply:
        try:
            reply = await answer
        except Exception as error:
            self._requests.labels(PROTOCOL, kind_of(error)).inc()
            raise
        if reply is None:
            self._requests.labels(PROTOCOL, "cancelled").inc()
            return NOBODY_RECEIVES
        self._succeeded.inc()
        return reply

    async def _infer(self, name: str, version: str, headers: Mapping[str, str], receive: Receive) -> Reply | None:
        """The reply, or None if the client disconnected."""
        deadline = deadline_from(headers.get(TIMEOUT_HEADER.lower()), self._request_seconds)
        body = await read_body(receive, self._body_limit)
        if body is None:
            return None
        large = len(body) > LARGE_BYTES or "content-encoding" in headers
        read = partial(self._read, name, version, headers, body, deadline, large)
        parsed, asked = await asyncio.to_thread(read) if large else read()
        result = await unless_hung_up(self._models.dispatch(asked), receive)
        if result is None:
            return None
        write = partial(self._write, result, parsed, asked)
        return await asyncio.to_thread(write) if asked.reply_bytes > LARGE_BYTES else write()

    def _read(
        self, name: str, version: str, headers: Mapping[str, str], body: bytes, deadline: float | None, check: bool
    ) -> tuple[Parsed, Asked]:
        parsed: list[Parsed] = []

        def request() -> InferenceRequest:
            plain = unpacked(body, coding_of(headers.get("content-encoding")), self._body_limit)
            parsed.append(read_infer(name, version, plain, headers.get(HEADER_LENGTH.lower()), self._most_rows))
            return parsed[0].request

        asked = self._models.understand(name, version, request, deadline, check)
        return parsed[0], asked

    def _write(self, result: SimulationResult, parsed: Parsed, asked: Asked) -> Reply:
        began = time.monotonic()
        reply = write_infer(reply_of(result, parsed.request.id, asked.outputs), parsed)
        seconds = time.monotonic() - began
        self._encode_seconds.observe(seconds)
        trace_reply(result, seconds)
        timing = {SERVER_TIMING: server_timing(result.timing, seconds)}
        return Reply(reply.status, reply.body, {**reply.headers, **timing})


def _json(value: Any) -> Reply:
    return Reply(200, orjson.dumps(value), _JSON)


def _route(scope: Scope) -> list[str]:
    """Method and parts of a path.

    A path with an empty part or an encoded slash is not split, and therefore has no route: a proxy that allows only
    some paths may interpret such a path differently.
    """
    method, path = "GET" if scope["method"] == "HEAD" else scope["method"], scope["path"][len(INFERENCE_PREFIX) :]
    parts = path.removesuffix("/").split("/")[1:]
    encoded = b"%" in scope["raw_path"] and b"%2f" in scope["raw_path"].lower()
    return [method, path] if encoded or "" in parts else [method, *parts]
