"""Who is let through to the HTTP application: callers with a token, as many as there is room for, and probes."""

from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send
from zdc_common.errors import NotReadyError, UnauthenticatedError, ZdcError
from zdc_common.words import counted_are

from zdc_service.access.tokens import Tokens
from zdc_service.serving.http.page import PAGE_PATHS
from zdc_service.serving.http.reply import Reply
from zdc_service.status import STATUSES, error_body

#: What probes ask for; they carry no token, and are answered when there is room for nothing else.
PROBES = frozenset({"/livez", "/readyz", "/v2/health/live", "/v2/health/ready"})

#: What needs no token: probes, and the page, which asks its reader for one.
_OPEN = PROBES | PAGE_PATHS


class Guard:
    """An ASGI application that lets callers with a token, probes, and readers of the page, through to another one."""

    def __init__(self, app: ASGIApp, tokens: Tokens, refused: Callable[[], None]):
        """Stand before `app`; `refused` is called for every caller that is sent away."""
        self._app = app
        self._tokens = tokens
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 where the request carries no known token."""
        if scope["path"] not in _OPEN:
            given = next((value for name, value in scope["headers"] if name == b"authorization"), None)
            try:
                self._tokens.check(given)
            except UnauthenticatedError as error:
                self._refused()
                await refuse(scope, send, error, WWW_Authenticate="Bearer")
                return
        await self._app(scope, receive, send)


class NoRoom:
    """The ASGI application of connections that are too many: answers probes, refuses everything else."""

    def __init__(self, app: ASGIApp, max_connections: int):
        """Stand before `app`, of which `max_connections` connections are open."""
        self._app = app
        self._error = NotReadyError(
            f"{counted_are(max_connections, 'connection')} open, as many as --max-connections allows; try again"
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 503."""
        if scope["path"] in PROBES:
            await self._app(scope, receive, send)
        else:
            await refuse(scope, send, self._error, Retry_After="1")


async def refuse(scope: Scope, send: Send, error: ZdcError, **headers: str) -> None:
    """Answer a request with an error."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    await refusal(scope["path"], STATUSES[error.kind][0], error.kind, str(error), named).send(send)


def refusal(path: str, status: int, kind: str, message: str, headers: dict[str, str] | None = None) -> Reply:
    """The answer to a request that reaches no route, in the form of the interface to which its path belongs."""
    body = error_body(path, kind, message)
    return Reply(status, body, {"Content-Type": "application/json"} | (headers or {}))
