"""HTTP replies for errors: maps a kind of error to a status, a body and headers."""

import json
import logging
from collections.abc import Mapping

from pydantic import BaseModel, Field
from zdc_common.errors import OverloadedError

from zdc_service.serving.http.reply import Reply
from zdc_service.status import STATUSES, kind_of, message_of

log = logging.getLogger(__name__)

#: Prefix of the paths of the Open Inference Protocol.
INFERENCE_PREFIX = "/v2"

#: Seconds after which a client may try again, if the server was overloaded.
_RETRY_AFTER = "1"


class ErrorDetail(BaseModel):
    """Kind and text of an error."""

    kind: str = Field(
        description="Machine-readable kind of the error; stable between versions, and the same in gRPC",
        examples=["out_of_range"],
    )
    message: str = Field(description="Names the particle, its value, the allowed range and a remedy")


class ErrorReply(BaseModel):
    """Body of every answer with an error status."""

    error: ErrorDetail = Field(description="The error")


def error_reply(error: BaseException, path: str = "", headers: Mapping[str, str] = {}) -> Reply:
    """The reply to a request that raised an error.

    Parameters
    ----------
    error : The exception.
    path : Path of the request, as in `refusal`.
    headers : Further headers.
    """
    kind = kind_of(error)
    retry = {"Retry-After": _RETRY_AFTER} if kind == OverloadedError.kind else {}
    return refusal(path, STATUSES[kind][0], kind, message_of(error), {**retry, **headers})


def refusal(path: str, status: int, kind: str, message: str, headers: Mapping[str, str] = {}) -> Reply:
    """The reply to a request that fails; the form of its body depends on the path.

    Parameters
    ----------
    path : Path of the request. Under `INFERENCE_PREFIX` the body is the Open Inference Protocol's
        ``{"error": "..."}``, elsewhere it is an `ErrorReply`.
    status : HTTP status.
    kind : Machine-readable kind of the error.
    message : Text of the error.
    headers : Further headers.
    """
    if is_inference(path):
        body = json.dumps({"error": message})
    else:
        body = ErrorReply(error=ErrorDetail(kind=kind, message=message)).model_dump_json()
    return Reply(status, body.encode(), {"Content-Type": "application/json", **headers})


def is_inference(path: str) -> bool:
    """Whether a path belongs to the Open Inference Protocol."""
    return f"{path}/".startswith(f"{INFERENCE_PREFIX}/")


def log_internal(what: str, error: BaseException) -> None:
    """Log an internal error with its traceback; the client sees only that it was internal."""
    if kind_of(error) == "internal":
        log.error("%s failed", what, exc_info=error)
