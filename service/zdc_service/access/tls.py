"""Certificates: the server's for both protocols, whose it takes from callers (mutual TLS), and reading them."""

import logging
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import grpc
from zdc_common.errors import ConfigError

from zdc_service.access.files import WatchedFiles

log = logging.getLogger(__name__)

#: What OpenSSL calls a key that is not the certificate's, for keys of one kind and of two.
_NOT_ITS_KEY = {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"}


@dataclass(frozen=True)
class _Loaded:
    """One state of the files."""

    context: ssl.SSLContext
    configuration: grpc.ServerCertificateConfiguration
    valid_until: str


class _NewestContext(ssl.SSLContext):
    """Stands for the newest context of some certificates whenever a connection begins.

    A context that a connection switches to in its handshake would be too late: OpenSSL resumes sessions of the context
    with which the connection began, and does not look at the caller's certificate again. A new context knows no old
    sessions.
    """

    def __new__(cls, _certificates: "Certificates") -> Self:
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, certificates: "Certificates"):
        self._certificates = certificates

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """As the newest context does; what event loops call."""
        return self._certificates.newest().wrap_bio(*arguments, **options)


class Certificates:
    """A certificate and its key, read again when the files change; connections that stand keep what they have.

    Attributes
    ----------
    context : For HTTP listeners.
    """

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None = None):
        """Read and try the files.

        Raises
        ------
        ConfigError : a file is missing or no PEM, the key is not the certificate's, or the certificate is expired, not
            yet valid or not for servers.
        """
        self._certificate, self._key, self._client_ca = certificate, key, client_ca
        self._watched = WatchedFiles([path for path in (certificate, key, client_ca) if path is not None])
        self._lock = threading.Lock()  # HTTP asks on the event loop, gRPC on threads of its own
        self._loaded = self._load()
        self._given_to_grpc = self._loaded
        self.context: ssl.SSLContext = _NewestContext(self)
        log.info("TLS with %s, valid until %s", certificate, self._loaded.valid_until)

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """For gRPC ports."""
        return grpc.dynamic_ssl_server_credentials(
            self._loaded.configuration,
            self._newest_for_grpc,  # type: ignore[arg-type]  # None, which the stubs do not know, keeps what is there
            require_client_authentication=self._client_ca is not None,
        )

    def newest(self) -> ssl.SSLContext:
        """Of the files as they are now."""
        return self._newest().context

    def _newest_for_grpc(self) -> grpc.ServerCertificateConfiguration | None:
        newest = self._newest()
        if newest is self._given_to_grpc:
            return None
        self._given_to_grpc = newest
        return newest.configuration

    def _newest(self) -> _Loaded:
        with self._lock:
            if self._watched.changed():
                try:
                    self._loaded = self._load()
                    log.info("TLS with %s as changed, valid until %s", self._certificate, self._loaded.valid_until)
                except ConfigError as error:
                    log.error("%s; the certificate read before stays in use", error)
            return self._loaded

    def _load(self) -> _Loaded:
        before = self._watched.signature()
        pem = {path: read_pem(path) for path in (self._certificate, self._key)}
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        identify(context, self._certificate, self._key)
        valid_until = _try(context, self._certificate, pem[self._certificate])
        authorities = None
        if self._client_ca is not None:
            authorities = read_pem(self._client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
            context.options |= ssl.OP_NO_TICKET  # tickets are renewed for ever, also after the certificate has expired
            context.num_tickets = 0
            trust(context, self._client_ca)
        if self._watched.signature() != before:
            raise ConfigError(f"TLS certificate {self._certificate} changed while it was read")
        configuration = grpc.ssl_server_certificate_configuration(
            [(pem[self._key], pem[self._certificate])], root_certificates=authorities
        )
        return _Loaded(context, configuration, valid_until)


def trust(context: ssl.SSLContext, authorities: Path) -> None:
    """Take certificates signed by one of a PEM file's authorities; raises ConfigError where there are none."""
    try:
        context.load_verify_locations(cadata=read_pem(authorities).decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise ConfigError(f"TLS authorities {authorities}: no PEM file of certificates") from error


def identify(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Show a certificate to the other side.

    Raises
    ------
    ConfigError : a file is missing or no PEM, or the key is not the certificate's.
    """
    for path in (certificate, key):
        read_pem(path)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")  # rather than a question on the terminal
    except ssl.SSLError as error:
        if error.reason in _NOT_ITS_KEY:
            raise ConfigError(f"TLS key {key} is not that of the certificate {certificate}") from error
        raise ConfigError(
            f"TLS certificate {certificate} or key {key}: no PEM file, or the key has a passphrase ({error})"
        ) from error


def _try(server: ssl.SSLContext, certificate: Path, pem: bytes) -> str:
    """Shake hands with ourselves, since no public function tells when a certificate expires; until when it is valid."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # what is in the file is trusted, whoever signed it
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        client.load_verify_locations(cadata=pem.decode("ascii"))
        caller = client.wrap_bio(to_client, to_server)
        called = server.wrap_bio(to_server, to_client, server_side=True)
        for side in (caller, called, caller, called):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:  # waits for the other side
                continue
        found = caller.getpeercert()
    except ssl.SSLCertVerificationError as error:
        raise ConfigError(f"TLS certificate {certificate}: {error.verify_message}") from error
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise ConfigError(f"TLS certificate {certificate} cannot be used: {error}") from error
    return str(found["notAfter"]) if found else "an unknown time"


def read_pem(path: Path) -> bytes:
    """What is in a file; raises ConfigError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"TLS file {path}: {error.strerror}") from error
