"""Tokens of HTTP callers."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from zdc_detector.errors import UnauthenticatedError

from zdc_service.access.tokens import Tokens
from zdc_service.status import STATUSES, error_body

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

#: What probes ask for; they carry no token, and are answered when there is room for nothing else.
PROBES = frozenset({"/livez", "/readyz", "/v2/health/live", "/v2/health/ready"})


class Guard:
    """An ASGI application that lets callers with a token, and probes, through to another one."""

    def __init__(self, app: App, tokens: Tokens, refused: Callable[[], None]):
        """Stand before `app`; `refused` is called for every caller that is sent away."""
        self._app = app
        self._tokens = tokens
        self._refused = refused

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer 401 where the request carries no known token."""
        if scope["path"] not in PROBES:
            given = next((value for name, value in scope["headers"] if name == b"authorization"), None)
            try:
                self._tokens.check(given)
            except UnauthenticatedError as error:
                self._refused()
                await _refuse(scope, send, error)
                return
        await self._app(scope, receive, send)


async def _refuse(scope: Message, send: Send, error: UnauthenticatedError) -> None:
    body = error_body(scope["path"], error.kind, str(error))
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"www-authenticate", b"Bearer"),
    ]
    await send({"type": "http.response.start", "status": int(STATUSES[error.kind][0]), "headers": headers})
    await send({"type": "http.response.body", "body": body})
