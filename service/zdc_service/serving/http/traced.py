"""OpenTelemetry server spans of HTTP requests."""

import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zdc_service.serving.http.simulate import SIMULATE_PATH
from zdc_service.serving.tracing import Tracing

#: Paths of the requests that simulate, and the names of these routes in spans.
_ROUTES = (
    (re.compile(re.escape(SIMULATE_PATH)), SIMULATE_PATH),
    (re.compile(r"/v2/models/[^/]+/infer/?"), "/v2/models/{name}/infer"),
    (re.compile(r"/v2/models/[^/]+/versions/[^/]+/infer/?"), "/v2/models/{name}/versions/{version}/infer"),
)


class TracedDoor:
    """Wraps an ASGI application: requests that simulate run within a span."""

    def __init__(self, app: ASGIApp, tracing: Tracing):
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        route = next((name for path, name in _ROUTES if path.fullmatch(scope["path"])), None)
        if route is None or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        with self._tracing.request(f"POST {route}", headers, _attributes(scope, headers, route)) as span:

            async def noting_the_status(message: Message) -> None:
                if message["type"] == "http.response.start":
                    status = int(message["status"])
                    span.set_attribute("http.response.status_code", status)
                    if status >= 500:
                        self._tracing.failed(span, str(status))
                await send(message)

            await self._app(scope, receive, noting_the_status)


def _attributes(scope: Scope, headers: dict[str, str], route: str) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {
        "http.request.method": scope["method"],
        "http.route": route,
        "url.path": scope["path"],
        "url.scheme": scope["scheme"],
        "network.protocol.version": scope["http_version"],
    }
    if scope["query_string"]:
        attributes["url.query"] = scope["query_string"].decode("latin-1")
    for side in ("server", "client"):
        if scope.get(side):
            attributes[f"{side}.address"], attributes[f"{side}.port"] = scope[side]
    if "user-agent" in headers:
        attributes["user_agent.original"] = headers["user-agent"]
    return attributes
