"""Every error a user of this project can meet, in one tree.

A class says *what kind* of thing went wrong; `kind` is the stable word that stands in HTTP bodies, gRPC
details and metric labels. The service maps each kind once to an HTTP and once to a gRPC status
(`zdc_service.status`). Messages name the row, the value, the bound and the remedy.
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
    retry_after_seconds : When the server that refused wants to be asked again; None where it did not say.
    """

    kind: ClassVar[str] = "internal"
    retry_after_seconds: float | None = None


class InvalidInputError(ZdcError):
    """The caller's input breaks a requirement; sending it again unchanged will fail again."""

    kind = "invalid_input"


class OutOfRangeError(InvalidInputError):
    """A particle is well formed but outside what the model was trained on."""

    kind = "out_of_range"


class TooLargeError(InvalidInputError):
    """A request or a reply is over a limit; the message names the limit and the way round it."""

    kind = "too_large"


class NotAcceptableError(InvalidInputError):
    """The caller asks for an answer in a form that there is none of."""

    kind = "not_acceptable"


class ModelNotFoundError(ZdcError):
    """No model of that name and version is loaded."""

    kind = "model_not_found"


class UnsupportedMediaError(InvalidInputError):
    """A body is of a media type or a coding that cannot be read."""

    kind = "unsupported_media_type"


class UnauthenticatedError(ZdcError):
    """The caller shows no token, or none that the server knows."""

    kind = "unauthenticated"


class ForbiddenError(ZdcError):
    """The caller may not do this, though it may do other things."""

    kind = "forbidden"


class OverloadedError(ZdcError):
    """The queue is full; the same request may pass later."""

    kind = "overloaded"


class DeadlineError(ZdcError):
    """The caller's deadline passed before the answer was ready."""

    kind = "deadline"


class NotReadyError(ZdcError):
    """The server is starting or shutting down, or has no room for another connection."""

    kind = "not_ready"


class ModelError(ZdcError):
    """A model folder is damaged or is not what its card says; the service refuses to serve it."""

    kind = "model"


class ConfigError(ZdcError):
    """A setting, flag or configuration file is wrong."""

    kind = "config"


class TrainingError(ConfigError):
    """Training cannot go on with these settings; the message names the epoch, the step, the term and a remedy."""


class FileFormatError(ZdcError):
    """A file is not what it should be; the message names the row where there is one."""

    kind = "file_format"


class IncompleteError(ZdcError):
    """Parts of a job are missing; the message names them and who makes them."""

    kind = "incomplete"


_MOST_CHARACTERS = 80
_short = reprlib.Repr()
_short.maxstring = _short.maxother = _MOST_CHARACTERS - 10
_short.maxlevel, _short.maxlist, _short.maxdict = 2, 3, 2


def excerpt(value: object) -> str:
    """What was sent, as it looks in Python, in at most 80 characters; takes no longer for millions of them."""
    return cut(_short.repr(value))


def cut(text: str) -> str:
    """At most 80 characters of a text that was sent."""
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 3] + "..."


def rename_row(error: ZdcError, name: Callable[[int], str]) -> ZdcError:
    """The same error with every ``particle[i]`` of its message replaced by ``name(i)``.

    A message counts particles within the block that was checked; whoever cut the block out of a request or a
    file knows what its rows are called there.
    """
    renamed = type(error)(_ROW.sub(lambda found: name(int(found[1])), str(error)))
    renamed.retry_after_seconds = error.retry_after_seconds
    return renamed
