"""Create the client for a server's address, or a client that simulates in this process."""

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

if TYPE_CHECKING:  # only the client in this process loads it
    from zdc_service.settings import EngineSettings

#: The clients add this path to the server's address, so the address must not end in it.
_ROUTE = "/simulate"

log = logging.getLogger(__name__)


def connect(
    url: str | None = None, options: ClientOptions | None = None, settings: "EngineSettings | None" = None
) -> Client:
    """Create a client for a server, or a client that simulates in this process.

    The client connects at its first request.

    Parameters
    ----------
    url : ``grpc://host:port`` or ``http://host:port``; ``grpcs`` or ``https`` for TLS. None simulates in this process.
        An HTTP address may have a path, if a proxy serves the server under that path: ``https://host/zdc``. Over gRPC,
        requests are distributed round robin over all IP addresses of the host name. gRPC's ``dns:///host:port`` is
        accepted as ``grpc://host:port``; ``dns://resolver:53/host:port`` looks up the addresses at that resolver.
    options : Limits, timeouts and files for the connection to a server.
    settings : Models and device, only for simulation in this process: `zdc_service.settings.EngineSettings`.

    Raises
    ------
    ConfigError : the address is malformed; a TLS or token file is missing or invalid; for simulation in this process:
        onnxruntime is not installed, or a model cannot be loaded.
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
    """Create a client for asyncio: ``async with connect_async(url) as client``.

    The client connects at its first request. Without an address, this function loads the models before it returns.

    Parameters
    ----------
    url, options, settings : As in `connect`.

    Raises
    ------
    ConfigError : as in `connect`.
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
        raise ConfigError(
            f"settings apply to simulation in this process, but url = {url} is given; leave out settings or url"
        )


class _Server(NamedTuple):
    is_grpc: bool
    address: str
    credentials: Credentials


def _server(url: str, options: ClientOptions) -> _Server:
    shown = re.sub(r"//[^/]*@", "//...@", url)  # without a password
    wanted = ConfigError(
        f"server {shown[:100]!r} must be grpc://host:port or http://host:port (for TLS: grpcs or https), "
        "with a port from 1 to 65535"
    )
    try:
        if url.startswith("dns://"):
            return _server_by_dns(url, options, wanted)
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:  # a malformed IPv6 address or port
        raise wanted from error
    if port == 0:
        raise wanted
    is_grpc, is_http = parts.scheme in ("grpc", "grpcs"), parts.scheme in ("http", "https")
    if not (is_grpc or is_http) or not host or (is_grpc and port is None):
        raise wanted
    path = parts.path.rstrip("/")
    if (is_grpc and path) or path.endswith(_ROUTE):
        raise ConfigError(f"{wanted}; remove {path}")
    if parts.query or parts.fragment or "@" in parts.netloc or any(letter.isspace() for letter in url):
        raise ConfigError(f"{wanted}; spaces, @, ? and # are not allowed; give a token with token_file")
    tls = parts.scheme.endswith("s")
    if options.token_file is not None and not tls and not resolves_to_loopback(host):
        log.warning("%s: the token is sent unencrypted; use https or grpcs to protect it", url)
    return _Server(is_grpc, f"{parts.scheme}://{parts.netloc}{path}", Credentials(options, tls))


def _server_by_dns(url: str, options: ClientOptions, wanted: ConfigError) -> _Server:
    """Parse gRPC's form of an address: an optional resolver, then the server."""
    resolver, _, rest = url.removeprefix("dns://").partition("/")
    server = _server(f"grpc://{rest}", options)
    if not re.fullmatch(r"[\w.:\[\]-]*", resolver):
        raise wanted
    return server._replace(address=f"dns://{resolver}/{rest}" if resolver else server.address)
