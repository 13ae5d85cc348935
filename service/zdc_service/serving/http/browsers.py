"""Which requests of web pages are answered: a page of another site may not use a server through its reader's browser.

A browser sends requests of any page to any address that it reaches, also to a server that only its own machine can
reach. Three things tell them from those of programs and of the server's own page: the ``Host`` that the browser thinks
it asks (DNS rebinding: a name of the attacker's that points here), ``Origin`` and ``Sec-Fetch-Site``. A page cannot set
any of them. gRPC needs no such check: browsers cannot speak it.
"""

import ipaddress
import re
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send
from zdc_common.errors import ForbiddenError, UnsupportedMediaError, ZdcError, excerpt

from zdc_service.access.loopback import is_localhost, resolves_to_loopback
from zdc_service.serving.http.errors import error_reply
from zdc_service.serving.http.guard import PROBES
from zdc_service.settings import ServerSettings
from zdc_service.status import kind_of

#: Methods that neither change nor compute anything; browsers keep the answers from pages of other sites.
_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
#: Of bodies that a form of any page can send.
_FORM_TYPES = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data")
#: What ``Sec-Fetch-Site`` says of requests of our own page, and of those that a reader typed.
_OWN = (b"same-origin", b"none")
#: Host: a name, an IPv4 address or an IPv6 address in brackets, and a port.
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\s:/@\[\]]+))(?::\d*)?")
_ANY = "*"
#: How long a browser remembers which methods and headers a page may send.
_PREFLIGHT_SECONDS = 600


def for_browsers(app: ASGIApp, settings: ServerSettings, host: str, refused: Callable[[str], None]) -> ASGIApp:
    """An application as browsers may use it: behind a `BrowserGuard`, and with CORS where the settings name origins.

    Where callers must send a token, a page of another site cannot: nothing but names that were given is checked. A
    server beyond this machine has names that it does not know (of a service, of a proxy): its ``Host`` is checked only
    where names were given. One for this machine alone has none but ``localhost``.

    Parameters
    ----------
    app : What is served.
    settings : Name hosts and origins.
    host : Where the application listens.
    refused : As `BrowserGuard` takes it.
    """
    open_to_all = not settings.token_files
    known = settings.allowed_hosts or (open_to_all and resolves_to_loopback(host))
    guarded: ASGIApp = BrowserGuard(
        app,
        [host, *settings.allowed_hosts] if known else None,
        settings.cors_origins if open_to_all else None,
        refused,
    )
    if not settings.cors_origins:
        return guarded
    return CORSMiddleware(
        guarded,
        allow_origins=settings.cors_origins,
        allow_methods=("GET", "HEAD", "POST"),
        allow_headers=(_ANY,),
        expose_headers=(_ANY,),
        max_age=_PREFLIGHT_SECONDS,
    )


class BrowserGuard:
    """An ASGI application that keeps requests of other sites' pages from another one."""

    def __init__(
        self,
        app: ASGIApp,
        hosts: Sequence[str] | None,
        origins: Sequence[str] | None,
        refused: Callable[[str], None],
    ):
        """Stand before `app`.

        Parameters
        ----------
        app : What is protected.
        hosts : Names by which it may be asked, beside addresses and ``localhost``; None: any.
        origins : Of other sites whose pages may use it; None: any.
        refused : Is called with the kind of error of every request that is sent away.
        """
        self._app = app
        self._any_origin = origins is None or _ANY in origins
        self._origins = frozenset(origin.encode() for origin in origins or ())
        self._refused = refused
        self._is_here = _is_here if hosts is None else lru_cache(maxsize=128)(_Hosts(hosts))

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer, or pass on; no coroutine of its own, which would cost a microsecond."""
        host = origin = site = kind = None
        for name, value in scope["headers"]:
            if name == b"host":
                host = value
            elif name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
            elif name == b"content-type":
                kind = value
        if host is not None and not self._is_here(host) and scope["path"] not in PROBES:
            return self._refuse(scope, send, _wrong_host(host))
        if scope["method"] not in _SAFE_METHODS:
            if (origin is not None or site is not None) and self._is_foreign(host, origin, site):
                return self._refuse(scope, send, _wrong_origin(origin))
            if kind is not None and _is_form(kind):
                return self._refuse(scope, send, _wrong_type(kind))
        return self._app(scope, receive, send)

    def _is_foreign(self, host: bytes | None, origin: bytes | None, site: bytes | None) -> bool:
        if self._any_origin or origin in self._origins:
            return False
        if site is not None:
            return site not in _OWN
        return origin is not None and origin.lower().partition(b"://")[2] != (host or b"").lower()

    async def _refuse(self, scope: Scope, send: Send, error: ZdcError) -> None:
        self._refused(kind_of(error))
        await error_reply(error, scope["path"]).send(send)


class _Hosts:
    """Whether a Host header names an address, this machine, or one of some names."""

    def __init__(self, names: Sequence[str]):
        self._names = frozenset(name.lower().rstrip(".") for name in names)

    def __call__(self, host: bytes) -> bool:
        if _ANY in self._names:
            return True
        found = _HOST.fullmatch(host.decode("latin-1").strip().lower())
        if found is None:
            return False
        name = found[1] or found[2].rstrip(".")
        if is_localhost(name) or name in self._names:
            return True
        try:
            ipaddress.ip_address(name)  # no other site's: only a name can be pointed elsewhere
        except ValueError:
            return False
        return True


def _is_here(_host: bytes) -> bool:
    return True


@lru_cache(maxsize=128)
def _is_form(content_type: bytes) -> bool:
    return content_type.decode("latin-1").partition(";")[0].strip().lower() in _FORM_TYPES


def _wrong_host(host: bytes) -> ForbiddenError:
    name = host.decode("latin-1")
    return ForbiddenError(
        f"Host {excerpt(name)} is no name of this server; ask it at localhost or by its address, or start it with "
        "--allowed-hosts and the name"
    )


def _wrong_origin(origin: bytes | None) -> ForbiddenError:
    who = "a page of another site" if origin is None else f"a page of {excerpt(origin.decode('latin-1'))}"
    return ForbiddenError(
        f"{who} may not use this server; --cors-origins names the sites whose pages may, and a proxy before the server "
        "must pass on Host"
    )


def _wrong_type(content_type: bytes) -> UnsupportedMediaError:
    return UnsupportedMediaError(
        f"Content-Type {excerpt(content_type.decode('latin-1'))} is that of a form; send application/json, with curl: "
        "-H 'Content-Type: application/json'"
    )
