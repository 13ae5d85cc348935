"""Where a server may listen without TLS and tokens."""

import logging

from zdc_common.errors import ConfigError

from zdc_service.access.loopback import resolves_to_loopback
from zdc_service.settings import ServerSettings

log = logging.getLogger(__name__)


def check_exposure(settings: ServerSettings) -> None:
    """Take care that a server which others can reach is not open to everybody by mistake.

    Raises
    ------
    ConfigError : it would listen beyond this machine with neither TLS nor tokens, and nobody said so.
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
        log.warning("%s without --token-files or --tls-client-ca: whoever reaches it may use it", here)
    elif authenticated:
        log.warning("%s without --tls-certificate: tokens and particles travel in clear text", here)
    elif settings.insecure:
        log.warning("%s without TLS and tokens (--insecure): whoever reaches it may use it and listen in", here)
    else:
        raise ConfigError(
            f"{here} and has neither TLS nor tokens; give --tls-certificate and --tls-key, and --token-files or "
            "--tls-client-ca, or --insecure where the network itself keeps others away"
        )


def _warn_of_management(settings: ServerSettings) -> None:
    host = settings.management_host or settings.host
    if settings.management_port is not None and not resolves_to_loopback(host):
        option = "--management-host" if settings.management_host else "--management-port without --management-host"
        log.warning(
            "%s (%s) is reachable from other machines: every caller reads probes and /metrics there, in clear text",
            option,
            host,
        )
