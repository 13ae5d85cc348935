"""All errors of this project, in one class tree.

The attribute `kind` of a class is a stable word in HTTP bodies, gRPC metadata and labels of Prometheus. A table in
`zdc_service.status` maps each kind to an HTTP and a gRPC status. Messages name the row, the value, the bound and the
remedy.
"""

import re
import reprlib
from collections.abc import Callable
from typing import ClassVar

_ROW = re.compile(r"\bparticle\[(\d+)\]")


class ZdcError(Exception):
    """Base of all errors of this project.

    Attributes
    ----------
    retry_after_seconds : Time after which the server accepts the request again; None if it did not send one.
    """

    kind: ClassVar[str] = "internal"
    retry_after_seconds: float | None = None


class InvalidInputError(ZdcError):
    """The input violates a requirement; the same input will fail again."""

    kind = "invalid_input"


class OutOfRangeError(InvalidInputError):
    """A particle is valid but outside the model's training range."""

    kind = "out_of_range"


class TooLargeError(InvalidInputError):
    """A request or a reply exceeds a limit; the message names the limit and a remedy."""

    kind = "too_large"


class NotAcceptableError(InvalidInputError):
    """The requested form of the answer is not supported."""

    kind = "not_acceptable"


class ModelNotFoundError(ZdcError):
    """No model of that name and version is loaded."""

    kind = "model_not_found"


class UnsupportedMediaError(InvalidInputError):
    """The media type or the content coding of a body is not supported."""

    kind = "unsupported_media_type"


class UnauthenticatedError(ZdcError):
    """The request has no token, or an unknown one."""

    kind = "unauthenticated"


class ForbiddenError(ZdcError):
    """The caller is known but has no permission for this request."""

    kind = "forbidden"


class OverloadedError(ZdcError):
    """The queue is full; the same request may succeed later."""

    kind = "overloaded"


class DeadlineError(ZdcError):
    """The deadline of the request passed before its result was ready."""

    kind = "deadline"


class NotReadyError(ZdcError):
    """The server is starting or shutting down, or has reached its limit of connections."""

    kind = "not_ready"


class ModelError(ZdcError):
    """A model folder is damaged or does not match its card; the service does not load it."""

    kind = "model"


class ConfigError(ZdcError):
    """A setting, an option or a configuration file is invalid."""

    kind = "config"


class TrainingError(ConfigError):
    """Training cannot continue with these settings; the message names epoch, step, loss term and remedy."""


class FileFormatError(ZdcError):
    """The content of a file is invalid; the message names the row, if there is one."""

    kind = "file_format"


class IncompleteError(ZdcError):
    """Parts of a job are missing; the message names them and the command that makes them."""

    kind = "incomplete"


_MOST_CHARACTERS = 80
_short = reprlib.Repr()
_short.maxstring = _short.maxother = _MOST_CHARACTERS - 10
_short.maxlevel, _short.maxlist, _short.maxdict = 2, 3, 2


def excerpt(value: object) -> str:
    """A received value as Python shows it, cut to 80 characters; the time does not grow with its length."""
    return cut(_short.repr(value))


def cut(text: str) -> str:
    """A received text, cut to 80 characters."""
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 3] + "..."


def rename_row(error: ZdcError, name: Callable[[int], str]) -> ZdcError:
    """The same error with every ``particle[i]`` in its message replaced by ``name(i)``.

    A message numbers particles within the checked block. The caller, who has cut the block out of a request or a file,
    knows the numbers there.
    """
    renamed = type(error)(_ROW.sub(lambda found: name(int(found[1])), str(error)))
    renamed.retry_after_seconds = error.retry_after_seconds
    return renamed
