"""Protection against web pages of other sites that send requests to this server through a visitor's browser.

A browser sends the requests of any page to any address, also to a server that only the visitor's machine can reach.
Three headers distinguish such requests from those of programs and of the server's own page: ``Host`` (an attacker can
point their own host name to this machine: DNS rebinding), ``Origin`` and ``Sec-Fetch-Site``. A page cannot set any
of them. gRPC needs no such check, because browsers cannot send gRPC requests.
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

#: Methods that change and compute nothing; browsers do not show their answers to pages of other sites.
_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
#: Media types that an HTML form of any page can send.
_FORM_TYPES = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data")
#: Values of ``Sec-Fetch-Site`` for requests of the server's own page, and for addresses typed by the visitor.
_OWN = (b"same-origin", b"none")
#: Value of the Host header: a name, an IPv4 address or an IPv6 address in brackets, and a port.
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\s:/@\[\]]+))(?::\d*)?")
_ANY = "*"
#: How long a browser caches the methods and headers that a page may send.
_PREFLIGHT_SECONDS = 600


def for_browsers(app: ASGIApp, settings: ServerSettings, host: str, refused: Callable[[str], None]) -> ASGIApp:
    """Wrap an application in a `BrowserGuard`, and in CORS if the settings list origins.

    If clients must send a token, pages of other sites cannot use the server, and only `allowed_hosts` are checked. A
    server that listens on other addresses than localhost does not know all its names (of a service or a proxy), so its
    ``Host`` is checked only if `allowed_hosts` are given. A server on localhost has only the name ``localhost``.

    Parameters
    ----------
    app : The application to protect.
    settings : Have the allowed hosts and origins.
    host : Address on which the application listens.
    refused : See `BrowserGuard`.
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
    """Wraps an ASGI application: refuses requests of other sites' pages, and passes all others on."""

    def __init__(
        self,
        app: ASGIApp,
        hosts: Sequence[str] | None,
        origins: Sequence[str] | None,
        refused: Callable[[str], None],
    ):
        """Wrap `app`.

        Parameters
        ----------
        app : The application to protect.
        hosts : Allowed host names, besides IP addresses and ``localhost``; None: any.
        origins : Origins of other sites whose pages may use it; None: any.
        refused : Called with the kind of error for every refused request.
        """
        self._app = app
        self._any_origin = origins is None or _ANY in origins
        self._origins = frozenset(origin.encode() for origin in origins or ())
        self._refused = refused
        self._is_here = _is_here if hosts is None else lru_cache(maxsize=128)(_Hosts(hosts))

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Refuse the request or pass it on. This is no coroutine function, which would cost a microsecond."""
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
    """Tests whether a Host header has an IP address, ``localhost`` or one of the given names."""

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
            ipaddress.ip_address(name)  # safe: DNS rebinding needs a name
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
        f"Host {excerpt(name)} is not a known name of this server; use localhost or its IP address, or start it with "
        "--allowed-hosts and the name"
    )


def _wrong_origin(origin: bytes | None) -> ForbiddenError:
    who = "a page of another site" if origin is None else f"a page of {excerpt(origin.decode('latin-1'))}"
    return ForbiddenError(
        f"{who} may not use this server; list the site in --cors-origins, or, if the page is the server's own, let the "
        "proxy pass on the Host header"
    )


def _wrong_type(content_type: bytes) -> UnsupportedMediaError:
    return UnsupportedMediaError(
        f"Content-Type {excerpt(content_type.decode('latin-1'))} is the type of an HTML form; send application/json, "
        "with curl: -H 'Content-Type: application/json'"
    )
