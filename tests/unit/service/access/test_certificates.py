"""Certificates with which the server refuses to start."""

from datetime import timedelta
from pathlib import Path

import pytest
import trustme
from helpers.servers.certificates import TODAY, Authority
from zdc_common.errors import ConfigError
from zdc_service.access.tls import Certificates


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def refusal(certificate: Path, key: Path, client_ca: Path | None = None) -> str:
    with pytest.raises(ConfigError) as refused:
        Certificates(certificate, key, client_ca)
    return str(refused.value)


def test_a_good_one_says_until_when(tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    pair = authority.server(tmp_path, start=-1, days=400)
    ends = TODAY + timedelta(days=399)
    with caplog.at_level("INFO", "zdc_service"):
        Certificates(pair.certificate, pair.key, authority.file)
    assert f"TLS with {pair.certificate}, valid until " in caplog.text
    assert f"{ends:%b} {ends.day:2d} " in caplog.text
    assert f" {ends.year} " in caplog.text


@pytest.mark.parametrize("kind", list(trustme.KeyType))
def test_a_key_of_another_certificate(tmp_path: Path, authority: Authority, kind: trustme.KeyType) -> None:
    pair = authority.server(tmp_path)
    trustme.CA().issue_cert("localhost", key_type=kind).private_key_pem.write_to_path(pair.key)
    assert (
        refusal(pair.certificate, pair.key)
        == f"TLS key {pair.key} does not belong to the certificate {pair.certificate}"
    )


@pytest.mark.parametrize(("start", "text"), [(-10, "certificate has expired"), (1, "certificate is not yet valid")])
def test_a_certificate_out_of_date(tmp_path: Path, authority: Authority, start: int, text: str) -> None:
    pair = authority.server(tmp_path, start=start)
    assert refusal(pair.certificate, pair.key) == f"TLS certificate {pair.certificate}: {text}"


def test_missing_and_invalid_files(tmp_path: Path, authority: Authority) -> None:
    pair = authority.server(tmp_path)
    absent, text = tmp_path / "absent.pem", tmp_path / "text.pem"
    text.write_text("no certificate")
    for files in ((absent, pair.key), (pair.certificate, absent), (pair.certificate, pair.key, absent)):
        assert refusal(*files) == f"TLS file {absent}: No such file or directory"
    for files in ((text, pair.key), (pair.certificate, text)):
        assert "not a PEM file, or the key has a passphrase" in refusal(*files)
    assert refusal(pair.certificate, pair.key, text) == f"TLS authorities {text}: not a PEM file of certificates"
