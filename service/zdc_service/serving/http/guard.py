"""Who is let through to the HTTP application: callers with a token, as many as there is room for, and probes."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet

from starlette.types import ASGIApp, Receive, Scope, Send
from zdc_common.errors import NotReadyError, UnauthenticatedError
from zdc_common.words import counted_are

from zdc_service.access.tokens import Tokens
from zdc_service.serving.http.errors import error_reply

#: What probes ask for; they carry no token, and are answered when there is room for nothing else.
PROBES = frozenset({"/livez", "/readyz", "/v2/health/live", "/v2/health/ready"})


class Guard:
    """An ASGI application that passes on requests with a known token, and those that need none."""

    def __init__(
        self, app: ASGIApp, tokens: Tokens, refused: Callable[[], None], open_paths: AbstractSet[str] = frozenset()
    ):
        """Protect an application.

        Parameters
        ----------
        app : What is protected.
        tokens : Those that are known.
        refused : Is called for every request that is refused.
        open_paths : Paths that need no token, beside those of `PROBES`.
        """
        self._app = app
        self._open = PROBES | open_paths
        self._tokens = tokens
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 where the request carries no known token."""
        if scope["path"] not in self._open:
            given = next((value for name, value in scope["headers"] if name == b"authorization"), None)
            try:
                self._tokens.check(given)
            except UnauthenticatedError as error:
                self._refused()
                await error_reply(error, scope["path"], {"WWW-Authenticate": "Bearer"}).send(send)
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
            await error_reply(self._error, scope["path"], {"Retry-After": "1"}).send(send)
