"""Errors as HTTP replies: the one place where a kind of error becomes a status, a body and headers."""

import logging

from pydantic import BaseModel, Field

from zdc_service.serving.http.reply import Reply
from zdc_service.status import STATUSES, kind_of, message_of

log = logging.getLogger(__name__)

#: Seconds after which a caller that was refused as overloaded may try again.
_RETRY_AFTER = "1"


class ErrorDetail(BaseModel):
    """What went wrong."""

    kind: str = Field(description="a stable word, where gRPC has the error the same there", examples=["out_of_range"])
    message: str = Field(description="names the particle, the value, the bound and the remedy")


class ErrorReply(BaseModel):
    """The body of every answer that is not 200."""

    error: ErrorDetail


def error_reply(error: BaseException) -> Reply:
    """The answer to a request that ended in an error."""
    kind = kind_of(error)
    return plain_error(STATUSES[kind][0], kind, message_of(error), retry_headers(kind))


def retry_headers(kind: str) -> dict[str, str]:
    """When to try again, of errors that pass."""
    return {"Retry-After": _RETRY_AFTER} if kind == "overloaded" else {}


def plain_error(status: int, kind: str, message: str, headers: dict[str, str] | None = None) -> Reply:
    """An error that is no exception of ours."""
    body = ErrorReply(error=ErrorDetail(kind=kind, message=message)).model_dump_json()
    return Reply(status, body.encode(), {"Content-Type": "application/json"} | (headers or {}))


def log_internal(what: str, error: BaseException) -> None:
    """Say in the server's log what the caller is not told."""
    if kind_of(error) == "internal":
        log.error("%s failed", what, exc_info=error)
