"""Access to the HTTP application: checks tokens and the maximum number of connections. Probes always pass."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet

from starlette.types import ASGIApp, Receive, Scope, Send
from zdc_common.errors import NotReadyError, UnauthenticatedError
from zdc_common.words import counted_are

from zdc_service.access.tokens import Tokens
from zdc_service.serving.http.errors import error_reply

#: Paths of probes. Probes send no token, and are answered even if the maximum number of connections is reached.
PROBES = frozenset({"/livez", "/readyz", "/v2/health/live", "/v2/health/ready"})


class Guard:
    """Wraps an ASGI application: requests need a valid token, except those for `PROBES` and `open_paths`."""

    def __init__(
        self, app: ASGIApp, tokens: Tokens, refused: Callable[[], None], open_paths: AbstractSet[str] = frozenset()
    ):
        """Wrap `app`.

        Parameters
        ----------
        app : The application to protect.
        tokens : The valid tokens.
        refused : Called for every refused request.
        open_paths : Paths that need no token, besides those of `PROBES`.
        """
        self._app = app
        self._open = PROBES | open_paths
        self._tokens = tokens
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 if the request has no valid token, else pass it on."""
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
    """The ASGI application for connections above the maximum: answers probes, refuses everything else."""

    def __init__(self, app: ASGIApp, max_connections: int):
        """Wrap `app`, which already has `max_connections` open connections."""
        self._app = app
        self._error = NotReadyError(
            f"{counted_are(max_connections, 'connection')} open, as many as --max-connections allows; try again"
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 503, except to probes."""
        if scope["path"] in PROBES:
            await self._app(scope, receive, send)
        else:
            await error_reply(self._error, scope["path"], {"Retry-After": "1"}).send(send)
