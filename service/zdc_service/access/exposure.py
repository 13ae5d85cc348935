"""Checks the addresses on which a server listens without TLS or tokens."""

import logging

from zdc_common.errors import ConfigError

from zdc_service.access.loopback import resolves_to_loopback
from zdc_service.settings import ServerSettings

log = logging.getLogger(__name__)


def check_exposure(settings: ServerSettings) -> None:
    """Refuse a server that other machines can reach, and that has neither TLS nor tokens by mistake.

    Raises
    ------
    ConfigError : the server would listen on other addresses than localhost with neither TLS nor tokens, and without
        ``--insecure``.
    """
    _warn_of_management(settings)
    if resolves_to_loopback(settings.host):
        return
    encrypted = settings.tls_certificate is not None
    authenticated = bool(settings.token_files) or settings.tls_client_ca is not None
    here = f"--host {settings.host} is reachable from other machines"
    if encrypted and authenticated:
        return
    if encrypted:
        log.warning("%s without --token-files or --tls-client-ca: every client that reaches it can use it", here)
    elif authenticated:
        log.warning("%s without --tls-certificate: tokens and particles are sent unencrypted", here)
    elif settings.insecure:
        log.warning("%s without TLS and tokens (--insecure): every client can use it, and requests can be read", here)
    else:
        raise ConfigError(
            f"{here} and has neither TLS nor tokens; give --tls-certificate and --tls-key, and --token-files or "
            "--tls-client-ca; or give --insecure if the network itself protects the server"
        )


def _warn_of_management(settings: ServerSettings) -> None:
    host = settings.management_host or settings.host
    if settings.management_port is not None and not resolves_to_loopback(host):
        option = "--management-host" if settings.management_host else "--management-port without --management-host"
        log.warning(
            "%s (%s) is reachable from other machines: every client can read probes and /metrics there, unencrypted",
            option,
            host,
        )
