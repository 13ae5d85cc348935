"""The HTTP application: routes, errors, probes and metrics."""

from collections.abc import Callable
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from zdc_common.errors import NotReadyError, ZdcError, cut
from zdc_detector.card import Metric, ModelCard, SpeciesRange

from zdc_service.engine.engine import Engine
from zdc_service.serving.http.errors import ErrorReply, error_reply, log_internal, refusal
from zdc_service.serving.http.exchange import Exchange
from zdc_service.serving.http.inference import InferenceDoor
from zdc_service.serving.http.page import add_page
from zdc_service.serving.http.simulate import BinaryDoor, simulate_router
from zdc_service.serving.inference.models import Authorize
from zdc_service.serving.inference.request import version_of
from zdc_service.simulating.simulator import Simulator

#: Of the HTTP interface, as in the name of the gRPC package.
_API_VERSION = "1"


class ModelSummary(BaseModel):
    """The essentials of a model card."""

    name: str
    version: int
    default: bool
    description: str
    calorimeter: str
    shape: tuple[int, int]
    channel_names: tuple[str, ...]
    species: tuple[SpeciesRange, ...]
    finish: str
    flops_per_response: int
    provider: str
    metrics: dict[str, Metric]
    limitations: tuple[str, ...]


def create_http_app(
    simulator: Simulator,
    ready: Callable[[], bool],
    body_limit: int,
    request_seconds: float | None = None,
    administrator: Authorize | None = None,
    metrics: bool = True,
    grpc_port: Callable[[], int] | None = None,
) -> ASGIApp:
    """The application, bound to a simulator.

    Parameters
    ----------
    simulator : Behind it.
    ready : Says whether new work is welcome.
    body_limit : Most bytes of a request's body.
    request_seconds : Longest time for an answer; callers may ask for less.
    administrator : Passes those who may load and unload models; by default whoever gets here may.
    metrics : Whether /metrics is here.
    grpc_port : Says where gRPC is served, once it is.
    """
    app = FastAPIOffline(  # serves the viewer of /docs itself: clusters often reach no CDN
        redoc_url=None,
        redirect_slashes=False,  # to an address made of the Host header, without the scheme that a proxy was asked with
        title="zdc-fastsim",
        version=_API_VERSION,
        description="Responses of ALICE's Zero Degree Calorimeter from a conditional end-to-end Sinkhorn autoencoder. "
        "Below /v2 the same models answer clients of the Open Inference Protocol (KServe v2), such as tritonclient. "
        "[The page of this server](/) shows responses beside Geant4's, and writes requests to copy.",
        responses={status: {"model": ErrorReply, "description": "Error"} for status in ("default", 422)},
    )
    exchange = Exchange(simulator, body_limit, request_seconds)
    app.include_router(simulate_router(exchange))
    _add_models(app, simulator)
    add_page(app, simulator.repository, grpc_port, metrics)
    _add_probes(app, ready)
    if metrics:
        _add_metrics(app, simulator)
    _add_errors(app, "/docs lists what there is")
    return InferenceDoor(
        BinaryDoor(HeadAsGet(app), exchange), simulator, ready, body_limit, request_seconds, administrator
    )


def create_management_app(simulator: Simulator, ready: Callable[[], bool]) -> ASGIApp:
    """Probes and metrics alone, for a port of their own."""
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    _add_probes(app, ready)
    _add_metrics(app, simulator)
    _add_errors(app, "here are /livez, /readyz and /metrics")
    return HeadAsGet(app)


class HeadAsGet:
    """An ASGI application that answers HEAD as another one answers GET, without the body (RFC 9110, section 9.3.2)."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self._app({**scope, "method": "GET"}, receive, without_body)


def _add_models(app: FastAPI, simulator: Simulator) -> None:
    @app.get("/models", summary="Loaded models", tags=["models"])
    async def models() -> list[ModelSummary]:
        return [_summary(engine, simulator.repository.default) for engine in simulator.repository]

    @app.get("/models/{name}/{version}", summary="The whole card of a model", tags=["models"])
    async def card(name: str, version: str) -> ModelCard:
        return simulator.repository.get(name, version_of(version)).card


def _summary(engine: Engine, default: str) -> ModelSummary:
    card = engine.card
    return ModelSummary(
        name=card.name,
        version=card.version,
        default=card.name == default,
        description=card.description,
        calorimeter=card.calorimeter.name,
        shape=card.calorimeter.shape,
        channel_names=card.calorimeter.channel_names,
        species=card.ranges.species,
        finish=card.finish.value,
        flops_per_response=card.flops_per_response,
        provider=engine.provider,
        metrics=card.metrics,
        limitations=card.limitations,
    )


def _add_probes(app: FastAPI, ready: Callable[[], bool]) -> None:
    @app.get("/livez", summary="Whether the process answers", tags=["operations"])
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz", summary="Whether new work is welcome", tags=["operations"])
    async def readyz() -> dict[str, str]:
        if not ready():
            raise NotReadyError("shutting down")
        return {"status": "ready"}


def _add_metrics(app: FastAPI, simulator: Simulator) -> None:
    @app.get("/metrics", summary="Metrics for Prometheus", tags=["operations"], response_class=PlainTextResponse)
    async def metrics() -> Response:
        return Response(simulator.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_errors(app: FastAPI, hint: str) -> None:
    async def on_error(request: Request, error: Exception) -> Response:
        if isinstance(error, ZdcError):  # the transport logs all others
            log_internal(request.url.path, error)
        return error_reply(error).response()

    app.add_exception_handler(ZdcError, on_error)
    app.add_exception_handler(Exception, on_error)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(_request: Request, error: Exception) -> Response:
        first = error.errors()[0] if isinstance(error, RequestValidationError) else {}
        where = ".".join(str(part) for part in first.get("loc", ()))
        return refusal("", 422, "invalid_input", f"{where}: {first.get('msg')}").response()

    @app.exception_handler(HTTPException)
    async def on_http_error(request: Request, error: HTTPException) -> Response:
        status, headers = HTTPStatus(error.status_code), dict(error.headers or {})
        allowed = f"; allowed is {headers['Allow']}" if "Allow" in headers else ""
        text = f"{request.method} {cut(request.url.path)}: {status.phrase}{allowed}; {hint}"
        return refusal("", status, status.name.lower(), text, headers).response()
