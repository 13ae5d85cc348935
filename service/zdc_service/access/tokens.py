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
#: Fewer can be guessed.
_LEAST_CHARACTERS = 16
_REMEDY = "write one token a line, e.g. of `openssl rand -hex 32`"


class Tokens:
    """Knows the tokens of its files, and reads them again when they change.

    What is kept are SHA-256 digests, and each is compared in constant time: neither the length of a token nor the
    number of characters that are right shows in the time an answer takes.
    """

    def __init__(self, paths: Sequence[Path]):
        """Read the files; raises ConfigError where one cannot be read, has no token or one that is none."""
        self._paths = paths
        self._watched = WatchedFiles(paths)
        self._digests = _read(paths)

    def check(self, authorization: str | bytes | None) -> None:
        """Let a caller pass whose ``Authorization`` header holds a known token.

        Raises
        ------
        UnauthenticatedError : it does not.
        """
        if self._watched.changed():
            self._read_again()
        if authorization is None:
            raise UnauthenticatedError("this server takes callers with a token; send Authorization: Bearer <token>")
        raw = authorization.encode() if isinstance(authorization, str) else authorization
        scheme, _, token = raw.partition(b" ")
        if scheme.lower() != b"bearer":
            raise UnauthenticatedError("Authorization must be of the form Bearer <token>")
        digest = hashlib.sha256(token.strip()).digest()
        known = False
        for other in self._digests:  # to the end, so that the time does not tell which one it was
            known |= hmac.compare_digest(digest, other)
        if not known:
            raise UnauthenticatedError("the token is not one that this server knows; it may have been replaced")

    def _read_again(self) -> None:
        try:
            self._digests = _read(self._paths)
        except ConfigError as error:
            log.error("%s; the tokens read before stay valid", error)
        else:
            log.info("read %d tokens again", len(self._digests))


def _read(paths: Sequence[Path]) -> tuple[bytes, ...]:
    return tuple(hashlib.sha256(token.encode()).digest() for path in paths for token in read_tokens(path))


def read_tokens(path: Path) -> list[str]:
    """The tokens of one file: one a line; ``#`` starts a comment, at the start of a line or after a space.

    Raises
    ------
    ConfigError : it cannot be read, has no token, or a line is none. A token itself is never repeated.
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
            raise ConfigError(f"token file {path}: line {number} is no token (letters, digits, -._~+/=); {_REMEDY}")
        if len(token) < _LEAST_CHARACTERS:
            raise ConfigError(
                f"token file {path}: line {number} has {counted(len(token), 'character')}, "
                f"fewer than {_LEAST_CHARACTERS} can be guessed; {_REMEDY}"
            )
        tokens.append(token)
    if not tokens:
        raise ConfigError(f"token file {path} has no token; {_REMEDY}")
    return tokens
