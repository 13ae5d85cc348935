"""TLS certificates and token of a client."""

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from zdc_common.errors import ConfigError

from zdc_service.access.tokens import read_tokens
from zdc_service.client.options import ClientOptions

if TYPE_CHECKING:  # clients over HTTP do not load gRPC
    import grpc


class Credentials:
    """The certificates and the token from the files that `ClientOptions` name.

    Attributes
    ----------
    context : TLS context of Python's ssl module; None without TLS.
    """

    def __init__(self, options: ClientOptions, tls: bool):
        """Read the files; raises ConfigError if one is missing, invalid, or given without TLS."""
        self._ca_file = _path(options.ca_file)
        self._certificate, self._key = _path(options.client_certificate), _path(options.client_key)
        self._token_file = _path(options.token_file)
        files = {"ca_file": self._ca_file, "client_certificate": self._certificate, "client_key": self._key}
        for name, path in files.items():
            if path is not None and not tls:
                raise ConfigError(f"{name} = '{path}' requires TLS; use an address with https or grpcs")
        self.context = self._context() if tls else None
        self.authorization()

    def _context(self) -> ssl.SSLContext:
        from zdc_service.access.tls import identify, trust

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self._ca_file is None:
            context.load_default_certs()
        else:
            trust(context, self._ca_file)
        if (self._certificate is None) != (self._key is None):
            raise ConfigError("client_certificate and client_key need each other; give both or neither")
        if self._certificate is not None and self._key is not None:
            identify(context, self._certificate, self._key)
        return context

    def for_grpc(self) -> "grpc.ChannelCredentials":
        """The credentials of a gRPC channel with TLS."""
        import grpc

        from zdc_service.access.tls import read_pem

        files = (self._ca_file, self._key, self._certificate)
        return grpc.ssl_channel_credentials(*[None if path is None else read_pem(path) for path in files])

    def authorization(self) -> dict[str, str]:
        """The authorization header of a request, if there is a token; raises ConfigError if its file is unreadable."""
        if self._token_file is None:
            return {}
        return {"authorization": f"Bearer {read_tokens(self._token_file)[0]}"}


def _path(given: Path | str | None) -> Path | None:
    return None if given is None else Path(given)
