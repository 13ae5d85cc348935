"""TLS: the server's certificate for both protocols, and the authorities of client certificates (mutual TLS)."""

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

#: OpenSSL's reasons if a key does not belong to the certificate.
_NOT_ITS_KEY = {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"}


@dataclass(frozen=True)
class _Loaded:
    """The configurations made from one state of the files."""

    context: ssl.SSLContext
    configuration: grpc.ServerCertificateConfiguration
    valid_until: str


class _NewestContext(ssl.SSLContext):
    """Uses the newest context of some certificates for each new connection.

    It would be too late to switch the context during the handshake: OpenSSL resumes sessions of the context with which
    the connection began, and does not check the client's certificate again. A new context has no old sessions.
    """

    def __new__(cls, _certificates: "Certificates") -> Self:
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, certificates: "Certificates"):
        self._certificates = certificates

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """Called by event loops for each connection; uses the newest context."""
        return self._certificates.newest().wrap_bio(*arguments, **options)


class Certificates:
    """A certificate and its key, which are read again when the files change. Open connections keep the old ones.

    Attributes
    ----------
    context : TLS context for HTTP servers.
    """

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None = None):
        """Read the files and test them.

        Raises
        ------
        ConfigError : a file is missing or not a PEM file, the key does not belong to the certificate, or the
            certificate has expired, is not valid yet or is not for servers.
        """
        self._certificate, self._key, self._client_ca = certificate, key, client_ca
        self._watched = WatchedFiles([path for path in (certificate, key, client_ca) if path is not None])
        self._lock = threading.Lock()  # HTTP uses the event loop's thread, gRPC its own threads
        self._loaded = self._load()
        self._given_to_grpc = self._loaded
        self.context: ssl.SSLContext = _NewestContext(self)
        log.info("TLS with %s, valid until %s", certificate, self._loaded.valid_until)

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """The credentials for gRPC servers."""
        return grpc.dynamic_ssl_server_credentials(
            self._loaded.configuration,
            self._newest_for_grpc,  # type: ignore[arg-type]  # None (not in the stubs) keeps the configuration
            require_client_authentication=self._client_ca is not None,
        )

    def newest(self) -> ssl.SSLContext:
        """The context for the current files."""
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
                    log.info("TLS with the new %s, valid until %s", self._certificate, self._loaded.valid_until)
                except ConfigError as error:
                    log.error("%s; the previous certificate stays in use", error)
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
            context.options |= ssl.OP_NO_TICKET  # tickets could be renewed even after the certificate has expired
            context.num_tickets = 0
            trust(context, self._client_ca)
        if self._watched.signature() != before:
            raise ConfigError(f"TLS certificate {self._certificate} changed while it was read")
        configuration = grpc.ssl_server_certificate_configuration(
            [(pem[self._key], pem[self._certificate])], root_certificates=authorities
        )
        return _Loaded(context, configuration, valid_until)


def trust(context: ssl.SSLContext, authorities: Path) -> None:
    """Accept certificates signed by an authority in a PEM file; raises ConfigError if the file has none."""
    try:
        context.load_verify_locations(cadata=read_pem(authorities).decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise ConfigError(f"TLS authorities {authorities}: not a PEM file of certificates") from error


def identify(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Use a certificate and its key for this side of connections.

    Raises
    ------
    ConfigError : a file is missing or not a PEM file, or the key does not belong to the certificate.
    """
    for path in (certificate, key):
        read_pem(path)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")  # else OpenSSL asks on the terminal
    except ssl.SSLError as error:
        if error.reason in _NOT_ITS_KEY:
            raise ConfigError(f"TLS key {key} does not belong to the certificate {certificate}") from error
        raise ConfigError(
            f"TLS certificate {certificate} or key {key}: not a PEM file, or the key has a passphrase ({error})"
        ) from error


def _try(server: ssl.SSLContext, certificate: Path, pem: bytes) -> str:
    """Test the certificate in a handshake with a local client; returns the time of its expiry.

    No public function of `ssl` tells when a certificate expires.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # trust the certificate without its authority
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        client.load_verify_locations(cadata=pem.decode("ascii"))
        caller = client.wrap_bio(to_client, to_server)
        called = server.wrap_bio(to_server, to_client, server_side=True)
        for side in (caller, called, caller, called):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:  # this side waits for the other one
                continue
        found = caller.getpeercert()
    except ssl.SSLCertVerificationError as error:
        raise ConfigError(f"TLS certificate {certificate}: {error.verify_message}") from error
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise ConfigError(f"TLS certificate {certificate} cannot be used: {error}") from error
    return str(found["notAfter"]) if found else "an unknown time"


def read_pem(path: Path) -> bytes:
    """The content of a file; raises ConfigError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"TLS file {path}: {error.strerror}") from error
