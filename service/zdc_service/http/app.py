"""The HTTP application: routes, errors, probes and metrics."""

import logging
from collections.abc import Callable
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from zdc_detector.card import Metric, ModelCard, SpeciesRange
from zdc_detector.errors import NotReadyError, ZdcError

from zdc_service.engine import Engine
from zdc_service.http.simulate import SIMULATE_PATH, simulate_router
from zdc_service.simulator import Simulator
from zdc_service.status import STATUSES, kind_of, message_of

log = logging.getLogger(__name__)

#: Seconds after which a caller that was refused as overloaded may try again.
_RETRY_AFTER = "1"
#: Of the HTTP interface, as in the name of the gRPC package.
_API_VERSION = "1"


class ErrorDetail(BaseModel):
    """What went wrong."""

    kind: str = Field(description="a stable word, where gRPC has the error the same there", examples=["out_of_range"])
    message: str = Field(description="names the particle, the value, the bound and the remedy")


class ErrorReply(BaseModel):
    """The body of every answer that is not 200."""

    error: ErrorDetail


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


def create_http_app(simulator: Simulator, ready: Callable[[], bool]) -> FastAPI:
    """The application, bound to a simulator; `ready` says whether new work is welcome."""
    app = FastAPIOffline(  # serves the viewer of /docs itself: clusters often reach no CDN
        redoc_url=None,
        title="zdc-fastsim",
        version=_API_VERSION,
        description="Responses of ALICE's Zero Degree Calorimeter from a conditional end-to-end Sinkhorn autoencoder.",
        responses={status: {"model": ErrorReply, "description": "Error"} for status in ("default", 422)},
    )
    app.include_router(simulate_router(simulator))
    _add_models(app, simulator)
    _add_operations(app, simulator, ready)
    _add_errors(app, simulator)
    return app


def _add_models(app: FastAPI, simulator: Simulator) -> None:
    @app.get("/models", summary="Loaded models", tags=["models"])
    async def models() -> list[ModelSummary]:
        return [_summary(engine, simulator.repository.default) for engine in simulator.repository]

    @app.get("/models/{name}/{version}", summary="The whole card of a model", tags=["models"])
    async def card(name: str, version: int) -> ModelCard:
        return simulator.repository.get(name, version).card


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


def _add_operations(app: FastAPI, simulator: Simulator, ready: Callable[[], bool]) -> None:
    @app.head("/livez", include_in_schema=False)
    @app.get("/livez", summary="Whether the process answers", tags=["operations"])
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @app.head("/readyz", include_in_schema=False)
    @app.get("/readyz", summary="Whether new work is welcome", tags=["operations"])
    async def readyz() -> dict[str, str]:
        if not ready():
            raise NotReadyError("shutting down")
        return {"status": "ready"}

    @app.head("/metrics", include_in_schema=False)
    @app.get("/metrics", summary="Metrics for Prometheus", tags=["operations"])
    async def metrics() -> Response:
        return Response(simulator.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_errors(app: FastAPI, simulator: Simulator) -> None:
    async def on_error(request: Request, error: Exception) -> Response:
        kind = kind_of(error)
        if kind == "internal" and isinstance(error, ZdcError):  # uvicorn logs all others
            log.error("%s failed", request.url.path, exc_info=error)
        if request.url.path == SIMULATE_PATH:
            simulator.metrics.requests.labels("http", kind).inc()
        headers = {"Retry-After": _RETRY_AFTER} if kind == "overloaded" else {}
        return _error(STATUSES[kind][0], kind, message_of(error), headers)

    app.add_exception_handler(ZdcError, on_error)
    app.add_exception_handler(Exception, on_error)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(_request: Request, error: Exception) -> Response:
        first = error.errors()[0] if isinstance(error, RequestValidationError) else {}
        where = ".".join(str(part) for part in first.get("loc", ()))
        return _error(422, "invalid_input", f"{where}: {first.get('msg')}")

    @app.exception_handler(HTTPException)
    async def on_http_error(request: Request, error: HTTPException) -> Response:
        status, headers = HTTPStatus(error.status_code), dict(error.headers or {})
        allowed = f"; allowed is {headers['Allow']}" if "Allow" in headers else ""
        text = f"{request.method} {request.url.path}: {status.phrase}{allowed}; /docs lists what there is"
        return _error(status, status.name.lower(), text, headers)


def _error(status: int, kind: str, message: str, headers: dict[str, str] | None = None) -> Response:
    body = ErrorReply(error=ErrorDetail(kind=kind, message=message)).model_dump_json()
    return Response(body, status_code=status, media_type="application/json", headers=headers)
