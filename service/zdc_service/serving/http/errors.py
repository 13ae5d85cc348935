"""Errors as HTTP replies: the one place where a kind of error becomes a status, a body and headers."""

import json
import logging
from collections.abc import Mapping

from pydantic import BaseModel, Field
from zdc_common.errors import OverloadedError

from zdc_service.serving.http.reply import Reply
from zdc_service.status import STATUSES, kind_of, message_of

log = logging.getLogger(__name__)

#: What the paths of the Open Inference Protocol begin with.
INFERENCE_PREFIX = "/v2"

#: Seconds after which a caller that was refused as overloaded may try again.
_RETRY_AFTER = "1"


class ErrorDetail(BaseModel):
    """What went wrong."""

    kind: str = Field(description="a stable word, where gRPC has the error the same there", examples=["out_of_range"])
    message: str = Field(description="names the particle, the value, the bound and the remedy")


class ErrorReply(BaseModel):
    """The body of every answer that is not 200."""

    error: ErrorDetail


def error_reply(error: BaseException, path: str = "", headers: Mapping[str, str] = {}) -> Reply:
    """The answer to a request that ended in an error.

    Parameters
    ----------
    path : Of the request, as in `refusal`.
    headers : Further ones.
    """
    kind = kind_of(error)
    retry = {"Retry-After": _RETRY_AFTER} if kind == OverloadedError.kind else {}
    return refusal(path, STATUSES[kind][0], kind, message_of(error), {**retry, **headers})


def refusal(path: str, status: int, kind: str, message: str, headers: Mapping[str, str] = {}) -> Reply:
    """The answer to a request that fails, in the form of the interface to which its path belongs.

    Parameters
    ----------
    path : Below `INFERENCE_PREFIX` the body is the Open Inference Protocol's ``{"error": "..."}``, elsewhere an
        `ErrorReply`.
    """
    if is_inference(path):
        body = json.dumps({"error": message})
    else:
        body = ErrorReply(error=ErrorDetail(kind=kind, message=message)).model_dump_json()
    return Reply(status, body.encode(), {"Content-Type": "application/json", **headers})


def is_inference(path: str) -> bool:
    """Whether a path is one of the Open Inference Protocol."""
    return f"{path}/".startswith(f"{INFERENCE_PREFIX}/")


def log_internal(what: str, error: BaseException) -> None:
    """Say in the server's log what the caller is not told."""
    if kind_of(error) == "internal":
        log.error("%s failed", what, exc_info=error)
