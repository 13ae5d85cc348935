"""From an address to a client."""

import logging
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from zdc_common.errors import ConfigError

from zdc_service.access.loopback import resolves_to_loopback
from zdc_service.client.async_base import AsyncClient
from zdc_service.client.base import Client
from zdc_service.client.options import ClientOptions
from zdc_service.client.transports.credentials import Credentials

if TYPE_CHECKING:  # what only some clients need is loaded with them
    from zdc_service.settings import EngineSettings

#: What an address does not end in: clients add it.
_ROUTE = "/simulate"

log = logging.getLogger(__name__)


def connect(
    url: str | None = None, options: ClientOptions | None = None, settings: "EngineSettings | None" = None
) -> Client:
    """A client for a server, or one that simulates in this process.

    No connection is made before the first request.

    Parameters
    ----------
    url : ``grpc://host:port`` or ``http://host:port``, ``grpcs`` or ``https`` for TLS; None simulates in this process.
        Over HTTP a path may follow, under which a proxy passes requests on: ``https://host/zdc``. Over gRPC requests
        go in turn to all addresses of the host's name. gRPC's own ``dns:///host:port`` is ``grpc://host:port``;
        ``dns://resolver:53/host:port`` asks that resolver for the addresses.
    options : How to talk to the server.
    settings : Models and device, in this process only: `zdc_service.settings.EngineSettings`.

    Raises
    ------
    ConfigError : an address of another form, files of TLS or tokens that are not what they should be, no onnxruntime
        for this process, or models that cannot be had.
    """
    options = options or ClientOptions()
    _check_settings(url, settings)
    if url is None:
        from zdc_service.client.transports.local import LocalClient

        return LocalClient(settings, options)
    server = _server(url, options)
    if server.is_grpc:
        from zdc_service.client.transports.grpc_client import GrpcClient

        return GrpcClient(server.address, options, server.credentials)
    from zdc_service.client.transports.http_client import HttpClient

    return HttpClient(server.address, options, server.credentials)


def connect_async(
    url: str | None = None, options: ClientOptions | None = None, settings: "EngineSettings | None" = None
) -> AsyncClient:
    """The same for an event loop: ``async with connect_async(url) as client``.

    No connection is made before the first request. Without an address the models are loaded before it returns.

    Parameters
    ----------
    url, options, settings : As `connect`.

    Raises
    ------
    ConfigError : as `connect`.
    """
    options = options or ClientOptions()
    _check_settings(url, settings)
    if url is None:
        from zdc_service.client.transports.local import AsyncLocalClient

        return AsyncLocalClient(settings, options)
    server = _server(url, options)
    if server.is_grpc:
        from zdc_service.client.transports.grpc_async import AsyncGrpcClient

        return AsyncGrpcClient(server.address, options, server.credentials)
    from zdc_service.client.transports.http_async import AsyncHttpClient

    return AsyncHttpClient(server.address, options, server.credentials)


def _check_settings(url: str | None, settings: object) -> None:
    if url is not None and settings is not None:
        raise ConfigError(f"settings are for simulating in this process; {url} has its own, so leave one of them out")


class _Server(NamedTuple):
    is_grpc: bool
    address: str
    credentials: Credentials


def _server(url: str, options: ClientOptions) -> _Server:
    shown = re.sub(r"//[^/]*@", "//...@", url)  # without a password
    wanted = ConfigError(
        f"server {shown[:100]!r} must be grpc://host:port or http://host:port, or with TLS grpcs or https; a port is "
        "a number from 1 to 65535"
    )
    try:
        if url.startswith("dns://"):
            return _server_by_dns(url, options, wanted)
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:  # no IPv6 address, or no port
        raise wanted from error
    if port == 0:
        raise wanted
    is_grpc, is_http = parts.scheme in ("grpc", "grpcs"), parts.scheme in ("http", "https")
    if not (is_grpc or is_http) or not host or (is_grpc and port is None):
        raise wanted
    path = parts.path.rstrip("/")
    if (is_grpc and path) or path.endswith(_ROUTE):
        raise ConfigError(f"{wanted}; without {path}")
    if parts.query or parts.fragment or "@" in parts.netloc or any(letter.isspace() for letter in url):
        raise ConfigError(f"{wanted}; without spaces, @, ? and #; a token comes from a token_file")
    tls = parts.scheme.endswith("s")
    if options.token_file is not None and not tls and not resolves_to_loopback(host):
        log.warning("%s: the token travels in clear text; https or grpcs would hide it", url)
    return _Server(is_grpc, f"{parts.scheme}://{parts.netloc}{path}", Credentials(options, tls))


def _server_by_dns(url: str, options: ClientOptions, wanted: ConfigError) -> _Server:
    """As gRPC writes it: the resolver, if any, and then the server."""
    resolver, _, rest = url.removeprefix("dns://").partition("/")
    server = _server(f"grpc://{rest}", options)
    if not re.fullmatch(r"[\w.:\[\]-]*", resolver):
        raise wanted
    return server._replace(address=f"dns://{resolver}/{rest}" if resolver else server.address)
