"""OpenTelemetry traces: a server span for each request, and within it one span for each stage of its computation.

Tracing is off by default. If it is on, another thread sends the spans to an OTLP endpoint over HTTP. Names and
attributes follow OpenTelemetry's semantic conventions 1.44 for HTTP and gRPC servers; our own attributes begin with
``zdc.`` (https://opentelemetry.io/docs/specs/semconv).
"""

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from zdc_common.errors import ConfigError
from zdc_common.versions import installed_version
from zdc_common.words import install_advice

from zdc_service.simulation import SimulationResult

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer
    from opentelemetry.util.types import AttributeValue

log = logging.getLogger(__name__)

SERVICE_NAME = "zdc-fastsim"
#: Path for traces of OTLP over HTTP.
_TRACES_PATH = "/v1/traces"
#: Maximum time to send the last spans at shutdown, if the receiver does not answer.
_FAREWELL_SECONDS = 2.0
#: Maximum number of replies of one stream whose stages get spans; a stream of a million replies would fill the queues.
_MOST_REPLIES = 32


class _Request:
    """The span of a request that is being answered."""

    def __init__(self, tracer: "Tracer", span: "Span", context: "Context"):
        self._tracer = tracer
        self._span = span
        self._context = context
        self._began = time.time_ns()
        self._rows = 0
        self._replies = 0

    def note(self, result: SimulationResult, encode_seconds: float) -> None:
        self._rows += len(result.particle)
        self._replies += 1
        self._span.set_attributes(
            {
                "zdc.model": result.model,
                "zdc.version": result.version,
                "zdc.rows": self._rows,
                "zdc.replies": self._replies,
            }
        )
        if self._replies > _MOST_REPLIES:
            return
        # Only the durations are known, and that the last stage ends now. If batches ran at the same time, the durations
        # are sums, and the first stage would begin before the request; therefore the start of the request is the limit.
        ended = time.time_ns()
        for stage, seconds in reversed([*result.timing._asdict().items(), ("encode", encode_seconds)]):
            began = max(ended - round(1e9 * seconds), self._began)
            span = self._tracer.start_span(stage, self._context, attributes={"zdc.seconds": seconds}, start_time=began)
            span.end(ended)
            ended = began


_current: ContextVar[_Request | None] = ContextVar("request", default=None)


def trace_reply(result: SimulationResult, encode_seconds: float) -> None:
    """Add the stages of an encoded reply to the span of the current request, if it has one."""
    request = _current.get()
    if request is not None:
        request.note(result, encode_seconds)


class Tracing:
    """Makes spans and sends them."""

    def __init__(self, endpoint: str, share: float):
        """Send spans to an OTLP endpoint; call `close` to send the last ones.

        OpenTelemetry's own environment variables set everything else: ``OTEL_EXPORTER_OTLP_HEADERS``,
        ``OTEL_RESOURCE_ATTRIBUTES``, ``OTEL_BSP_MAX_QUEUE_SIZE`` and so on.

        Parameters
        ----------
        endpoint : URL; if it has no path, ``/v1/traces`` is added.
        share : Fraction of the requests without a trace of the client that are traced, 0 to 1. For requests with a
            trace, the client decides.

        Raises
        ------
        ConfigError : the extra ``tracing`` is not installed.
        """
        try:
            from opentelemetry import trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import OTELResourceDetector, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"--trace-endpoint {endpoint}: OpenTelemetry is not installed; {install_advice('tracing')}"
            ) from error
        url = endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + _TRACES_PATH
        about = Resource.create({"service.name": SERVICE_NAME, "service.version": installed_version()})
        self._provider = TracerProvider(
            ParentBasedTraceIdRatio(share),
            about.merge(OTELResourceDetector().detect()),  # an operator's OTEL_RESOURCE_ATTRIBUTES
            shutdown_on_exit=False,
        )
        self._url = url
        self._exporter = OTLPSpanExporter(url)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer(__name__)
        self._propagator = TraceContextTextMapPropagator()
        self._trace = trace
        log.info("sending traces to %s; fraction of requests without a trace of the client: %g", url, share)

    @contextmanager
    def request(
        self, name: str, headers: Mapping[str, str], attributes: "Mapping[str, AttributeValue]"
    ) -> "Iterator[Span]":
        """The server span of a request; `trace_reply` finds it within the context.

        Parameters
        ----------
        name : Name of the span, by the conventions for the protocol.
        headers : Headers or metadata of the request, names in lower case; ``traceparent`` and ``tracestate`` are used.
        attributes : Attributes that are known at the start.
        """
        kind = self._trace.SpanKind.SERVER
        span = self._tracer.start_span(name, self._propagator.extract(headers), kind, attributes)
        recorded = _Request(self._tracer, span, self._trace.set_span_in_context(span)) if span.is_recording() else None
        token = _current.set(recorded)
        try:
            yield span
        finally:
            _current.reset(token)
            span.end()

    def failed(self, span: "Span", error_type: str) -> None:
        """Mark the span of a request as failed because of an error of the server."""
        span.set_attribute("error.type", error_type)
        span.set_status(self._trace.StatusCode.ERROR)

    def close(self) -> None:
        """Send the last spans and make no more; takes at most `_FAREWELL_SECONDS`, even if the receiver hangs."""
        sending = threading.Thread(target=self._provider.shutdown, name="last traces", daemon=True)
        sending.start()
        sending.join(_FAREWELL_SECONDS)
        if sending.is_alive():
            log.warning("the last traces are lost: %s did not accept them within %g s", self._url, _FAREWELL_SECONDS)
            self._exporter.shutdown()  # type: ignore[no-untyped-call]
