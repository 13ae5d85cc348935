"""OpenTelemetry traces: a server span for each request, and within it one span for each stage of its computation.

Off unless asked for; then spans go to an OTLP endpoint over HTTP, from a thread of their own. Names and attributes are
those of OpenTelemetry's semantic conventions 1.44 for HTTP and gRPC servers, and ``zdc.*``:
https://opentelemetry.io/docs/specs/semconv
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
#: Where receivers of OTLP over HTTP take traces.
_TRACES_PATH = "/v1/traces"
#: At the end a receiver that is away, or does not answer, is tried for so long.
_FAREWELL_SECONDS = 2.0
#: Replies of one stream whose stages get spans; a stream of a million would fill every queue.
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
        # Lengths are known, and that the last stage ends now. Those of batches that ran at the same time are sums, and
        # would begin before the request did.
        ended = time.time_ns()
        for stage, seconds in reversed([*result.timing._asdict().items(), ("encode", encode_seconds)]):
            began = max(ended - round(1e9 * seconds), self._began)
            span = self._tracer.start_span(stage, self._context, attributes={"zdc.seconds": seconds}, start_time=began)
            span.end(ended)
            ended = began


_current: ContextVar[_Request | None] = ContextVar("request", default=None)


def trace_reply(result: SimulationResult, encode_seconds: float) -> None:
    """Give the span of the request that is being answered, if it has one, the stages of a reply that is encoded."""
    request = _current.get()
    if request is not None:
        request.note(result, encode_seconds)


class Tracing:
    """Makes spans and sends them."""

    def __init__(self, endpoint: str, share: float):
        """Send to an OTLP endpoint; close it to send the last ones.

        OpenTelemetry's own variables hold for what has no option here: ``OTEL_EXPORTER_OTLP_HEADERS``,
        ``OTEL_RESOURCE_ATTRIBUTES``, ``OTEL_BSP_MAX_QUEUE_SIZE`` and so on.

        Parameters
        ----------
        endpoint : URL; without a path ``/v1/traces`` is meant.
        share : Of the requests that bring no trace of their own, 0 to 1; the others are traced as their callers say.

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
            about.merge(OTELResourceDetector().detect()),  # what an operator calls it
            shutdown_on_exit=False,
        )
        self._url = url
        self._exporter = OTLPSpanExporter(url)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer(__name__)
        self._propagator = TraceContextTextMapPropagator()
        self._trace = trace
        log.info("traces go to %s; of requests that bring none, a share of %g", url, share)

    @contextmanager
    def request(
        self, name: str, headers: Mapping[str, str], attributes: "Mapping[str, AttributeValue]"
    ) -> "Iterator[Span]":
        """The server span of a request, which `trace_reply` meets within the context.

        Parameters
        ----------
        name : After the conventions of the protocol.
        headers : Of the request, or metadata, names in lower case; ``traceparent`` and ``tracestate`` are looked at.
        attributes : What is known at the start.
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
        """Mark a span as that of a request which the server failed to answer."""
        span.set_attribute("error.type", error_type)
        span.set_status(self._trace.StatusCode.ERROR)

    def close(self) -> None:
        """Send what is left, and make no more spans; takes at most `_FAREWELL_SECONDS`, whatever the receiver does."""
        sending = threading.Thread(target=self._provider.shutdown, name="last traces", daemon=True)
        sending.start()
        sending.join(_FAREWELL_SECONDS)
        if sending.is_alive():
            log.warning("the last traces are lost: %s did not take them within %g s", self._url, _FAREWELL_SECONDS)
            self._exporter.shutdown()  # type: ignore[no-untyped-call]
