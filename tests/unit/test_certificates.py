"""Certificates of the server: what it refuses to start with."""

import datetime
from pathlib import Path

import pytest
import trustme
from zdc_detector.errors import ConfigError
from zdc_service.access.tls import Certificates

TODAY = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def written(folder: Path, issued: trustme.LeafCert) -> tuple[Path, Path]:
    """Files of the certificate with its chain, and of its key."""
    certificate, key = folder / "server.pem", folder / "server.key"
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    return certificate, key


def refusal(certificate: Path, key: Path, client_ca: Path | None = None) -> str:
    with pytest.raises(ConfigError) as refused:
        Certificates(certificate, key, client_ca)
    return str(refused.value)


def test_a_good_one_says_until_when(tmp_path: Path, authority: trustme.CA, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "zdc_service"):
        Certificates(*written(tmp_path, authority.issue_cert("localhost", not_after=TODAY + 9 * DAY)))
    assert f"server.pem, valid until {TODAY + 9 * DAY:%b}" in caplog.text


def test_a_key_of_another_certificate(tmp_path: Path, authority: trustme.CA) -> None:
    for kind in trustme.KeyType:
        certificate, key = written(tmp_path, authority.issue_cert("localhost"))
        authority.issue_cert("localhost", key_type=kind).private_key_pem.write_to_path(key)
        assert refusal(certificate, key) == f"TLS key {key} is not that of the certificate {certificate}"


@pytest.mark.parametrize(
    ("start", "end", "text"), [(-9, -1, "certificate has expired"), (1, 9, "certificate is not yet valid")]
)
def test_a_certificate_out_of_date(tmp_path: Path, authority: trustme.CA, start: int, end: int, text: str) -> None:
    issued = authority.issue_cert("localhost", not_before=TODAY + start * DAY, not_after=TODAY + end * DAY)
    certificate, key = written(tmp_path, issued)
    assert refusal(certificate, key) == f"TLS certificate {certificate}: {text}"


def test_files_that_are_missing_or_something_else(tmp_path: Path, authority: trustme.CA) -> None:
    certificate, key = written(tmp_path, authority.issue_cert("localhost"))
    absent, text = tmp_path / "absent.pem", tmp_path / "text.pem"
    text.write_text("no certificate")
    for files in ((absent, key), (certificate, absent), (certificate, key, absent)):
        assert refusal(*files) == f"TLS file {absent}: No such file or directory"
    for files in ((text, key), (certificate, text)):
        assert "no PEM file, or the key has a passphrase" in refusal(*files)
    assert refusal(certificate, key, text) == f"TLS authorities {text}: no PEM file of certificates"
