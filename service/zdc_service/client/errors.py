"""Turn the errors that a server reports, and failed connections, into `ZdcError` and its subclasses."""

import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from zdc_common.errors import ConfigError, DeadlineError, NotReadyError, ZdcError

from zdc_service.client.proxies import Proxy

#: Texts of OpenSSL and gRPC if a certificate has an unknown signer, or is for another server.
_UNTRUSTED = ("CERTIFICATE_VERIFY_FAILED", "Hostname Verification Check failed", "not in peer certificate")

_NO_HTTP = "this port does not speak HTTP; HTTP and gRPC have different ports"
_NO_GRPC = "this port does not speak gRPC; HTTP and gRPC have different ports"

#: Texts of OpenSSL, gRPC and httpx if the port speaks another protocol, and the remedy. A retry would not help.
_OTHER_PROTOCOL = {
    "WRONG_VERSION_NUMBER": "this port does not speak TLS; use another port, or an address with http or grpc",
    "illegal request line": _NO_HTTP,
    "an http1.x server": _NO_GRPC,
    "missing selected ALPN property": _NO_GRPC,
}

#: Their texts if the server closed the connection without an error; that server may speak another protocol too.
_CLOSED = ("Socket closed", "Connection reset", "disconnected", "Endpoint closing", "ReadError", "WriteError")

_PROBE_SECONDS = 2.0


def error_of(kind: str, message: str) -> ZdcError:
    """The error of the class with this `kind`; `ZdcError` if this version of the client does not know the kind."""
    for known in _tree(ZdcError):
        if known.kind == kind:
            return known(message)
    return ZdcError(message)


def _tree(root: type[ZdcError]) -> Iterator[type[ZdcError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


def unreachable(server: str, text: str, tls: bool, proxy: Proxy | None = None) -> ZdcError:
    """The error for a caller whose server gives no reply.

    Parameters
    ----------
    server : Address of the server.
    text : Error text of OpenSSL, gRPC or httpx.
    tls : Whether the client speaks TLS.
    proxy : The proxy that the request went through, if any.
    """
    if any(words in text for words in _UNTRUSTED):
        return ConfigError(
            f"{server}: the server's certificate is not trusted: {text}; give the signing authority with ca_file"
        )
    for words, remedy in _OTHER_PROTOCOL.items():
        if words in text:
            return ConfigError(f"{server}: {text}; {remedy}")
    if proxy is not None:
        return NotReadyError(f"{server}: {text}; {proxy}: {proxy.remedy}")
    if any(words in text for words in _CLOSED) and (wrong := _wrong_protocol(server, tls)):
        return ConfigError(f"{server}: {text}; {wrong}")
    listening = "is a server listening there"
    # A server that requires a client certificate, and does not get an accepted one, closes without an error.
    question = f"{listening}, and does it accept the client's certificate?" if tls else f"{listening}?"
    return NotReadyError(f"{server}: {text}; {question}")


def _wrong_protocol(server: str, tls: bool) -> str | None:
    """The remedy if a server that closed a connection speaks another protocol; None if it does not.

    A server closes a connection both if it does not understand the protocol and if it shuts down. A TLS handshake on a
    new connection distinguishes the two. It sends no data of the caller.
    """
    scheme = server.partition("://")[0]
    if not tls and scheme in ("http", "grpc") and _tls_answer(server, "http/1.1") is not None:
        return f"this port speaks TLS; use {scheme}s in the address"
    if scheme == "https" and _tls_answer(server, "h2") == "h2" and _tls_answer(server, "http/1.1") != "http/1.1":
        return _NO_HTTP
    return None


def _tls_answer(server: str, protocol: str) -> str | None:
    """The protocol that the server selects if TLS offers it `protocol` (ALPN); "" if none, None without TLS."""
    parts = urlsplit(server)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    address = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
    try:
        with (
            socket.create_connection(address, timeout=_PROBE_SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=parts.hostname) as secured,
        ):
            return secured.selected_alpn_protocol() or ""
    except ssl.SSLError as error:  # a TLS alert shows that the server speaks TLS
        return "" if "ALERT" in (error.reason or "") else None
    except (OSError, ValueError):
        return None


def too_late(server: str, timeout_seconds: float) -> DeadlineError:
    """The error for a caller whose reply did not arrive in time."""
    return DeadlineError(
        f"{server}: no answer within {timeout_seconds:g} s; send fewer rows per request, or increase timeout_seconds"
    )


def client_is_closed() -> NotReadyError:
    """The error for a caller that uses a closed client."""
    return NotReadyError("the client was closed; connect again")


def client_is_elsewhere(home: str, remedy: str) -> NotReadyError:
    """The error for a caller that uses a client in another process, or on another event loop, than its own."""
    return NotReadyError(f"the client belongs to another {home} and cannot be used in this one; {remedy}")
