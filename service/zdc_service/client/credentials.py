"""What a client shows to its server, and what it takes from it."""

import ssl
from typing import TYPE_CHECKING

from zdc_detector.errors import ConfigError

from zdc_service.access.tokens import read_tokens
from zdc_service.client.options import ClientOptions

if TYPE_CHECKING:  # clients over HTTP do without
    import grpc


class Credentials:
    """Reads the files that `ClientOptions` name.

    Attributes
    ----------
    context : For TLS by Python's own means; None without TLS.
    """

    def __init__(self, options: ClientOptions, tls: bool):
        """Read the files; raises ConfigError where one is missing or not what it should be, or is of no use."""
        self._options = options
        self.context = self._context() if tls else None
        files = {name: getattr(options, name) for name in ("ca_file", "client_certificate", "client_key")}
        for name, path in files.items():
            if path is not None and not tls:
                raise ConfigError(f"{name} = '{path}' is for TLS; the server's address must begin with https or grpcs")
        self.authorization()

    def _context(self) -> ssl.SSLContext:
        from zdc_service.access.tls import identify, trust

        options = self._options
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if options.ca_file is None:
            context.load_default_certs()
        else:
            trust(context, options.ca_file)
        if (options.client_certificate is None) != (options.client_key is None):
            raise ConfigError("client_certificate and client_key go together; give both or neither")
        if options.client_certificate is not None and options.client_key is not None:
            identify(context, options.client_certificate, options.client_key)
        return context

    def for_grpc(self) -> "grpc.ChannelCredentials":
        """For channels over TLS."""
        import grpc

        from zdc_service.access.tls import read_pem

        options = self._options
        files = (options.ca_file, options.client_key, options.client_certificate)
        return grpc.ssl_channel_credentials(*[None if path is None else read_pem(path) for path in files])

    def authorization(self) -> dict[str, str]:
        """The header of a request, if any; raises ConfigError where the file of the token cannot be read."""
        if self._options.token_file is None:
            return {}
        return {"authorization": f"Bearer {read_tokens(self._options.token_file)[0]}"}
