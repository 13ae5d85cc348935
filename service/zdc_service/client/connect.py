"""From an address to a client."""

from urllib.parse import urlsplit

from zdc_detector.errors import ConfigError

from zdc_service.client.base import Client, ClientOptions
from zdc_service.settings import EngineSettings


def connect(
    url: str | None = None, options: ClientOptions | None = None, settings: EngineSettings | None = None
) -> Client:
    """A client for a server, or one that simulates in this process.

    Parameters
    ----------
    url : ``grpc://host:port`` or ``http://host:port``; None simulates in this process.
    options : How to talk to the server.
    settings : Models and device, in this process only.

    Raises
    ------
    ConfigError : an address of another form, no onnxruntime for this process, or models that cannot be had.
    """
    options = options or ClientOptions()
    if url is None:
        from zdc_service.client.local import LocalClient

        return LocalClient(settings or EngineSettings(), options)
    wanted = ConfigError(f"server {url!r} must be grpc://host:port or http://host:port")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:  # no IPv6 address, or no port
        raise wanted from error
    if not host or parts.path not in ("", "/") or (parts.scheme == "grpc" and port is None):
        raise wanted
    if parts.scheme == "grpc":
        from zdc_service.client.grpc_client import GrpcClient

        return GrpcClient(parts.netloc, options)
    if parts.scheme in ("http", "https"):
        from zdc_service.client.http_client import HttpClient

        return HttpClient(f"{parts.scheme}://{parts.netloc}", options)
    raise wanted
