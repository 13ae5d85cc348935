"""Addresses on which a server may listen without TLS and tokens."""

from pathlib import Path
from typing import Any

import pytest
from zdc_common.errors import ConfigError
from zdc_service.access.exposure import check_exposure
from zdc_service.settings import ServerSettings

TLS: dict[str, Any] = {"tls_certificate": Path("a.pem"), "tls_key": Path("a.key")}
TOKENS: dict[str, Any] = {"token_files": [Path("tokens")]}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"])
def test_this_machine_alone_needs_nothing(host: str, caplog: pytest.LogCaptureFixture) -> None:
    check_exposure(ServerSettings(host=host))
    assert not caplog.records


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "no-such-name.invalid", ""])
def test_beyond_it_nothing_is_too_little(host: str) -> None:
    with pytest.raises(ConfigError, match=f"--host {host} is reachable from other machines") as refused:
        check_exposure(ServerSettings(host=host))
    for remedy in ("--tls-certificate", "--tls-key", "--token-files", "--tls-client-ca", "--insecure"):
        assert remedy in str(refused.value)


@pytest.mark.parametrize(
    ("options", "warning"),
    [
        (TLS | TOKENS, ""),
        (TLS | {"tls_client_ca": Path("ca.pem")}, ""),
        (TLS | TOKENS | {"insecure": True}, ""),
        (TLS, "without --token-files or --tls-client-ca: every client that reaches it can use it"),
        (TOKENS, "without --tls-certificate: tokens and particles are sent unencrypted"),
        ({"insecure": True}, "(--insecure): every client can use it, and requests can be read"),
    ],
)
def test_half_of_it_is_warned_of(options: dict[str, Any], warning: str, caplog: pytest.LogCaptureFixture) -> None:
    check_exposure(ServerSettings(host="0.0.0.0", **options))
    assert [record.levelname for record in caplog.records] == ["WARNING"] * bool(warning)
    assert warning in caplog.text


@pytest.mark.parametrize("missing", ["tls_certificate", "tls_key"])
def test_a_certificate_needs_its_key(missing: str) -> None:
    options = TLS | {"tls_client_ca": Path("ca.pem")}
    del options[missing]
    with pytest.raises(ValueError, match=f"also needs {missing}"):
        ServerSettings(**options)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"management_host": "0.0.0.0"}, "--management-host (0.0.0.0) is reachable from other machines"),
        (
            TLS | TOKENS | {"host": "192.0.2.1"},
            "--management-port without --management-host (192.0.2.1) is reachable from other machines",
        ),
    ],
)
def test_an_open_management_port_is_warned_of(
    options: dict[str, Any], named: str, caplog: pytest.LogCaptureFixture
) -> None:
    check_exposure(ServerSettings(management_port=9000, **options))
    (record,) = caplog.records
    assert (record.levelname, named in record.message) == ("WARNING", True)
    caplog.clear()
    check_exposure(ServerSettings(management_port=9000, management_host="127.0.0.1"))
    assert not caplog.records


def test_an_address_in_brackets_is_taken_as_it_is_meant() -> None:
    settings = ServerSettings(host="[::1]", management_host="[2001:db8::1]")
    assert (settings.host, settings.management_host) == ("::1", "2001:db8::1")
