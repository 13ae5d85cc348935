"""Find the proxy between a client and its server, and describe it in error messages."""

import ipaddress
import os
import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

from zdc_service.access.loopback import is_loopback

#: Variables that gRPC reads, in lower case only; the first one that is set is used.
_OF_GRPC = ("grpc_proxy", "https_proxy", "http_proxy")
_EXEMPT_FROM_GRPC = ("no_grpc_proxy", "no_proxy")


class Proxy(NamedTuple):
    """A proxy, and the setting that selected it.

    Attributes
    ----------
    url : Address of the proxy, with its user and password, if any.
    variable : The environment variable that names the proxy.
    host : Host name of the server behind the proxy.
    """

    url: str
    variable: str
    host: str

    def __str__(self) -> str:
        shown = re.sub(r"//[^/]*@", "//...@", self.url)  # without a password
        return f"requests go through the proxy {shown[:100]} ({self.variable})"

    @property
    def remedy(self) -> str:
        """The remedy, as part of an error message."""
        return f"check that it is up and reaches the server, or set no_proxy={self.host} to connect without it"


def http_proxy(url: str) -> Proxy | None:
    """The proxy for a server's address that begins with http or https; None if there is none.

    The environment variables are the usual ones, as for curl: ``http_proxy``, ``https_proxy``, ``all_proxy`` and
    ``no_proxy``, in lower or upper case. If none is set, the settings of macOS or Windows are used. A server on this
    machine is always reached without a proxy, because a proxy could not reach it.
    """
    parts, known = urlsplit(url), getproxies()
    host = parts.hostname or ""
    if is_loopback(host) or _is_exempt(host, parts.port, known.get("no", "")):
        return None
    for scheme in (parts.scheme, "all"):
        if proxy := known.get(scheme):
            name = f"{scheme}_proxy"
            variable = next((text for text in (name, name.upper()) if os.environ.get(text)), "the system's settings")
            return Proxy(proxy if "://" in proxy else f"http://{proxy}", variable, host)
    return None


def grpc_proxy(host: str, port: int | None) -> Proxy | None:
    """The proxy that gRPC uses for a server; None if there is none. gRPC has its own variables and no SOCKS."""
    exempt = next(filter(None, map(os.environ.get, _EXEMPT_FROM_GRPC)), "")
    if is_loopback(host) or _is_exempt(host, port, exempt):
        return None
    for variable in _OF_GRPC:
        if proxy := os.environ.get(variable):
            return Proxy(proxy, variable, host) if urlsplit(proxy).scheme == "http" else None
    return None


def _is_exempt(host: str, port: int | None, no_proxy: str) -> bool:
    return any(_matches(host.lower(), port, entry) for entry in _entries(no_proxy))


def _entries(no_proxy: str) -> Iterable[str]:
    return filter(None, (entry.strip().lower() for entry in no_proxy.split(",")))


def _matches(host: str, port: int | None, entry: str) -> bool:
    if entry == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        pass  # a host name, or a pattern that is not an IP network
    name, _, only = entry.partition(":")
    name = name.removeprefix("*").removeprefix(".")
    return (host == name or host.endswith(f".{name}")) and only in ("", str(port))
