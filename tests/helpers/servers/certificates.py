"""Certificates for tests of TLS, made in each run."""

import datetime
from dataclasses import dataclass
from pathlib import Path

import trustme

TODAY = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """Files of a certificate with its chain, and of its key."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates; `file` is its own."""

    def __init__(self, folder: Path, name: str = "authority"):
        self._authority = trustme.CA(organization_name=name)
        self.file = folder / f"{name}.pem"
        self._authority.cert_pem.write_to_path(str(self.file))

    def sign(self, pair: Pair, *names: str, start: int = -1, days: int = 9) -> Pair:
        """Write a certificate for `names` that is valid for some days from today plus `start`, and its key."""
        issued = self._authority.issue_cert(
            *names, not_before=TODAY + start * DAY, not_after=TODAY + (start + days) * DAY
        )
        pair.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(pair.key)
        return pair

    def server(self, folder: Path, *names: str, start: int = -1, days: int = 9) -> Pair:
        """A certificate of a server, by default for this machine."""
        pair = Pair(folder / "server.pem", folder / "server.key")
        return self.sign(pair, *(names or ("localhost", "127.0.0.1")), start=start, days=days)

    def client(self, folder: Path) -> Pair:
        """A certificate of a caller."""
        return self.sign(Pair(folder / "client.pem", folder / "client.key"), "alice@example.org")
