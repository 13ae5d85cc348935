"""Errors as a server reports them, back to the classes that it raised, and those of a server that reports none."""

from collections.abc import Iterator

from zdc_detector.errors import ConfigError, DeadlineError, NotReadyError, ZdcError

#: How OpenSSL and gRPC put it that a certificate is not signed by whom it should be, or names another server.
_UNTRUSTED = ("CERTIFICATE_VERIFY_FAILED", "Hostname Verification Check failed", "not in peer certificate")

#: What they and httpx say of a server that speaks something else, and what to do; waiting would not help.
_OTHER_LANGUAGE = {
    "WRONG_VERSION_NUMBER": "that is no TLS; if this is the port, the address begins with http or grpc",
    "illegal request line": "that is no HTTP; HTTP and gRPC have ports of their own",
    "an http1.x server": "that is no gRPC; HTTP and gRPC have ports of their own",
}


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


def unreachable(server: str, text: str, tls: bool) -> ZdcError:
    """What to tell a caller whose server gives no answer, by what OpenSSL and gRPC say of it."""
    if any(words in text for words in _UNTRUSTED):
        return ConfigError(f"{server}: the server's certificate is not trusted: {text}; ca_file names who may sign it")
    for words, remedy in _OTHER_LANGUAGE.items():
        if words in text:
            return ConfigError(f"{server}: {text}; {remedy}")
    listening = "is a server listening there"
    # A server that wants another certificate, or one at all, closes the connection and does not say why.
    question = f"{listening}, and does it take the client's certificate?" if tls else f"{listening}?"
    return NotReadyError(f"{server}: {text}; {question}")


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
