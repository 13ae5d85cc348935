"""The HTTP application: routes, errors, probes and metrics."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import FastAPI, Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from zdc_common.errors import NotReadyError, ZdcError, cut
from zdc_detector.card import Metric, ModelCard
from zdc_detector.ranges import SpeciesRange

from zdc_service.engine.engine import Engine
from zdc_service.serving.http.errors import ErrorReply, error_reply, log_internal, refusal
from zdc_service.serving.http.exchange import Exchange
from zdc_service.serving.http.inference import InferenceDoor
from zdc_service.serving.http.page import add_page
from zdc_service.serving.http.simulate import BinaryDoor, simulate_router
from zdc_service.serving.inference.models import Authorize
from zdc_service.serving.inference.request import version_of
from zdc_service.simulating.simulator import Simulator

#: Version of the HTTP interface; the gRPC package `zdc.v1` has the same number.
_API_VERSION = "1"


class ModelSummary(BaseModel):
    """The most important entries of a model card."""

    name: str = Field(description="Name of the model")
    version: int = Field(description="Version of the model")
    default: bool = Field(description="Whether requests that name no model use this one")
    description: str = Field(description="Description of the model and its training")
    calorimeter: str = Field(description="Name of the calorimeter")
    shape: tuple[int, int] = Field(description="Number of fibres along x and y")
    channel_names: tuple[str, ...] = Field(description="Names of the channels")
    species: tuple[SpeciesRange, ...] = Field(description="Trained species with their energy ranges")
    finish: str = Field(description="How the model's rates become photon counts")
    flops_per_response: int = Field(description="Floating-point operations for one response")
    provider: str = Field(description="ONNX Runtime execution provider that runs the model")
    metrics: dict[str, Metric] = Field(description="Figures of merit on the test set, by name")
    limitations: tuple[str, ...] = Field(description="Known limitations of the model")


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
    simulator : Computes the responses.
    ready : Returns whether the server accepts new requests.
    body_limit : Maximum size of a request's body, in bytes.
    request_seconds : Maximum time for an answer; clients may ask for less.
    administrator : Checks the token of a client that loads or unloads a model; by default every client may do so.
    metrics : Whether to serve /metrics.
    grpc_port : Returns the port of the gRPC server, once it is known.
    """
    app = FastAPIOffline(  # serves the viewer of /docs itself, because many clusters cannot reach a CDN
        redoc_url=None,
        # A redirect would use the Host header and the wrong scheme (http) behind a proxy that speaks https.
        redirect_slashes=False,
        title="zdc-fastsim",
        version=_API_VERSION,
        description="Simulates responses of ALICE's Zero Degree Calorimeter with neural networks trained on Geant4 "
        "showers. Under /v2 the same models serve clients of the Open Inference Protocol (KServe v2), such as "
        "tritonclient. [The demo page of this server](/) compares generated responses with Geant4's and writes "
        "requests that you can copy.",
        responses={status: {"model": ErrorReply, "description": "Error"} for status in ("default", 422)},
    )
    exchange = Exchange(simulator, body_limit, request_seconds)
    app.include_router(simulate_router(exchange))
    _add_models(app, simulator)
    add_page(app, simulator.repository, grpc_port, metrics)
    _add_probes(app, ready)
    if metrics:
        _add_metrics(app, simulator)
    _add_errors(app, "see /docs for the list of routes")
    return InferenceDoor(
        BinaryDoor(HeadAsGet(app), exchange), simulator, ready, body_limit, request_seconds, administrator
    )


def create_management_app(simulator: Simulator, ready: Callable[[], bool]) -> ASGIApp:
    """An application with only the probes and metrics, for the management port."""
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    _add_probes(app, ready)
    _add_metrics(app, simulator)
    _add_errors(app, "this port serves only /livez, /readyz and /metrics")
    return HeadAsGet(app)


class HeadAsGet:
    """Wraps an ASGI application: answers HEAD like GET, but without the body (RFC 9110, section 9.3.2)."""

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
    @app.get(
        "/models",
        summary="Loaded models",
        description="Lists the loaded models with the most important entries of their cards.",
        tags=["models"],
    )
    async def models() -> list[ModelSummary]:
        return [_summary(engine, simulator.repository.default) for engine in simulator.repository]

    @app.get(
        "/models/{name}/{version}",
        summary="The complete card of a model",
        description="Returns the card of a loaded model: trained ranges, figures of merit, limitations and provenance.",
        tags=["models"],
    )
    async def card(
        name: Annotated[str, Path(description="Name of the model")],
        version: Annotated[str, Path(description="Version of the model")],
    ) -> ModelCard:
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
    @app.get(
        "/livez",
        summary="Liveness probe",
        description="Answers 200 as long as the process answers requests.",
        tags=["operations"],
    )
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @app.get(
        "/readyz",
        summary="Readiness probe",
        description="Answers 200 if the server accepts new requests, and 503 when it shuts down.",
        tags=["operations"],
    )
    async def readyz() -> dict[str, str]:
        if not ready():
            raise NotReadyError("shutting down")
        return {"status": "ready"}


def _add_metrics(app: FastAPI, simulator: Simulator) -> None:
    @app.get(
        "/metrics",
        summary="Prometheus metrics",
        description="Returns the counters, gauges and histograms of this server in Prometheus' text format.",
        tags=["operations"],
        response_class=PlainTextResponse,
    )
    async def metrics() -> Response:
        return Response(simulator.instruments.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


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
        allowed = f"; allowed methods: {headers['Allow']}" if "Allow" in headers else ""
        text = f"{request.method} {cut(request.url.path)}: {status.phrase}{allowed}; {hint}"
        return refusal("", status, status.name.lower(), text, headers).response()
