"""Which proxy stands between a client and its server, and what to say of it where a request fails."""

import ipaddress
import os
import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

from zdc_service.access.loopback import is_loopback

#: Variables that gRPC reads, the first that is set counts; in small letters only.
_OF_GRPC = ("grpc_proxy", "https_proxy", "http_proxy")
_EXEMPT_FROM_GRPC = ("no_grpc_proxy", "no_proxy")


class Proxy(NamedTuple):
    """A proxy, and why it is used.

    Attributes
    ----------
    url : With its user and password, if any.
    variable : Of the environment, that names it.
    host : Of the server behind it.
    """

    url: str
    variable: str
    host: str

    def __str__(self) -> str:
        shown = re.sub(r"//[^/]*@", "//...@", self.url)  # without a password
        return f"requests go through the proxy {shown[:100]} ({self.variable})"

    @property
    def remedy(self) -> str:
        """What a caller may do."""
        return f"is it up, and does it reach the server? no_proxy={self.host} goes without it"


def http_proxy(url: str) -> Proxy | None:
    """The proxy for a server's address that begins with http or https.

    Variables are those of curl and others: ``http_proxy``, ``https_proxy``, ``all_proxy``, ``no_proxy``, also in
    capital letters; if none is set, the settings of macOS and Windows. None is used for a server on this machine,
    which a proxy could not reach.
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
    """The proxy that gRPC itself uses for a server; it reads other variables, and takes no proxies of SOCKS."""
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
        pass  # a name, or one of several forms of a network
    name, _, only = entry.partition(":")
    name = name.removeprefix("*").removeprefix(".")
    return (host == name or host.endswith(f".{name}")) and only in ("", str(port))
