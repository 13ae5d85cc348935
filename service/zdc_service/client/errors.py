"""Errors as a server reports them, back to the classes that it raised, and those of a server that reports none."""

import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from zdc_common.errors import ConfigError, DeadlineError, NotReadyError, ZdcError

from zdc_service.client.proxies import Proxy

#: How OpenSSL and gRPC put it that a certificate is not signed by whom it should be, or names another server.
_UNTRUSTED = ("CERTIFICATE_VERIFY_FAILED", "Hostname Verification Check failed", "not in peer certificate")

_NO_HTTP = "that is no HTTP; HTTP and gRPC have ports of their own"
_NO_GRPC = "that is no gRPC; HTTP and gRPC have ports of their own"

#: What they and httpx say of a server that speaks something else, and what to do; waiting would not help.
_OTHER_LANGUAGE = {
    "WRONG_VERSION_NUMBER": "that is no TLS; if this is the port, the address begins with http or grpc",
    "illegal request line": _NO_HTTP,
    "an http1.x server": _NO_GRPC,
    "missing selected ALPN property": _NO_GRPC,
}

#: What they say of a connection that was closed without a word, which may be such a server too.
_CLOSED = ("Socket closed", "Connection reset", "disconnected", "Endpoint closing", "ReadError", "WriteError")

_PROBE_SECONDS = 2.0


def error_of(kind: str, message: str) -> ZdcError:
    """The error of a kind; kinds that this version does not know are plain `ZdcError`."""
    for known in _tree(ZdcError):
        if known.kind == kind:
            return known(message)
    return ZdcError(message)


def _tree(root: type[ZdcError]) -> Iterator[type[ZdcError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


def unreachable(server: str, text: str, tls: bool, proxy: Proxy | None = None) -> ZdcError:
    """What to tell a caller whose server gives no answer.

    Parameters
    ----------
    server : Its address.
    text : What OpenSSL, gRPC or httpx say.
    tls : Whether the client speaks TLS.
    proxy : Through which the request went.
    """
    if any(words in text for words in _UNTRUSTED):
        return ConfigError(f"{server}: the server's certificate is not trusted: {text}; ca_file names who may sign it")
    for words, remedy in _OTHER_LANGUAGE.items():
        if words in text:
            return ConfigError(f"{server}: {text}; {remedy}")
    if proxy is not None:
        return NotReadyError(f"{server}: {text}; {proxy}: {proxy.remedy}")
    if any(words in text for words in _CLOSED) and (wrong := _wrong_by_asking(server, tls)):
        return ConfigError(f"{server}: {text}; {wrong}")
    listening = "is a server listening there"
    # A server that wants another certificate, or one at all, closes the connection and does not say why.
    question = f"{listening}, and does it take the client's certificate?" if tls else f"{listening}?"
    return NotReadyError(f"{server}: {text}; {question}")


def _wrong_by_asking(server: str, tls: bool) -> str | None:
    """What is wrong with the address of a server that closed a connection without a word, if anything.

    One that does not understand what it is sent does so, as one does that stops: only a question in TLS tells them
    apart. Nothing of the caller's is sent with it.
    """
    scheme = server.partition("://")[0]
    if not tls and scheme in ("http", "grpc") and _tls_answer(server, "http/1.1") is not None:
        return f"that is TLS; the address begins with {scheme}s"
    if scheme == "https" and _tls_answer(server, "h2") == "h2" and _tls_answer(server, "http/1.1") != "http/1.1":
        return _NO_HTTP
    return None


def _tls_answer(server: str, protocol: str) -> str | None:
    """What a server chooses where this protocol (ALPN) is offered over TLS, or an empty text; None without TLS."""
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
    except ssl.SSLError as error:  # an alert is TLS too
        return "" if "ALERT" in (error.reason or "") else None
    except (OSError, ValueError):
        return None


def too_late(server: str, timeout_seconds: float) -> DeadlineError:
    """What to tell a caller whose answer did not come in time."""
    return DeadlineError(
        f"{server}: no answer within {timeout_seconds:g} s; send fewer rows in a request, or allow more timeout_seconds"
    )


def client_is_closed() -> NotReadyError:
    """What to tell a caller who goes on with a client that was closed."""
    return NotReadyError("the client was closed; connect again")


def client_is_elsewhere(home: str, remedy: str) -> NotReadyError:
    """What to tell a caller who uses a client where its threads or its event loop are not."""
    return NotReadyError(f"the client belongs to another {home}, and does not work in this one; {remedy}")
