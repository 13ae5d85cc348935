"""Bearer tokens (RFC 6750) from files."""

import hashlib
import hmac
import logging
import re
from collections.abc import Sequence
from pathlib import Path

from zdc_common.errors import ConfigError, UnauthenticatedError
from zdc_common.words import counted

from zdc_service.access.files import WatchedFiles

log = logging.getLogger(__name__)

#: Characters that RFC 6750 allows.
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
#: Minimum length; shorter tokens can be brute-forced.
_LEAST_CHARACTERS = 16
_REMEDY = "write one token per line, e.g. from `openssl rand -hex 32`"


class Tokens:
    """Checks tokens against those in some files, which are read again when they change.

    Only SHA-256 digests are kept, and they are compared in constant time: the time of an answer reveals neither the
    length of a token nor the number of correct characters.
    """

    def __init__(self, paths: Sequence[Path]):
        """Read the files; raises ConfigError if one cannot be read, has no token or has an invalid line."""
        self._paths = paths
        self._watched = WatchedFiles(paths)
        self._digests = _read(paths)

    def check(self, authorization: str | bytes | None) -> None:
        """Check the value of an ``Authorization`` header.

        Raises
        ------
        UnauthenticatedError : the header is missing or has no valid token.
        """
        if self._watched.changed():
            self._read_again()
        if authorization is None:
            raise UnauthenticatedError("this server needs a token; send Authorization: Bearer <token>")
        raw = authorization.encode() if isinstance(authorization, str) else authorization
        scheme, _, token = raw.partition(b" ")
        if scheme.lower() != b"bearer":
            raise UnauthenticatedError("Authorization must have the form Bearer <token>")
        digest = hashlib.sha256(token.strip()).digest()
        known = False
        for other in self._digests:  # compare all, so that the time does not reveal which token matched
            known |= hmac.compare_digest(digest, other)
        if not known:
            raise UnauthenticatedError("this server does not know the token; it may have been replaced")

    def _read_again(self) -> None:
        try:
            self._digests = _read(self._paths)
        except ConfigError as error:
            log.error("%s; the previous tokens stay valid", error)
        else:
            log.info("read the changed token files: %s", counted(len(self._digests), "token"))


def _read(paths: Sequence[Path]) -> tuple[bytes, ...]:
    return tuple(hashlib.sha256(token.encode()).digest() for path in paths for token in read_tokens(path))


def read_tokens(path: Path) -> list[str]:
    """The tokens of a file: one per line; ``#`` at the start of a line or after a space starts a comment.

    Raises
    ------
    ConfigError : the file cannot be read, has no token, or has an invalid line. The message never contains a token.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise ConfigError(f"token file {path}: {reason}; {_REMEDY}") from error
    tokens = []
    for number, line in enumerate(lines, start=1):
        token = re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip()
        if not token:
            continue
        if not _TOKEN.fullmatch(token):
            raise ConfigError(f"token file {path}: line {number} is not a token (letters, digits, -._~+/=); {_REMEDY}")
        if len(token) < _LEAST_CHARACTERS:
            raise ConfigError(
                f"token file {path}: line {number} has {counted(len(token), 'character')}, but a token needs at least "
                f"{_LEAST_CHARACTERS}, because shorter tokens can be brute-forced; {_REMEDY}"
            )
        tokens.append(token)
    if not tokens:
        raise ConfigError(f"token file {path} has no token; {_REMEDY}")
    return tokens
