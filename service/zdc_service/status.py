"""The HTTP and gRPC status of each kind of error."""

from http import HTTPStatus

import grpc
from zdc_common.errors import ZdcError

#: HTTP status and gRPC status for each `ZdcError.kind`.
STATUSES: dict[str, tuple[HTTPStatus, grpc.StatusCode]] = {
    "invalid_input": (HTTPStatus.UNPROCESSABLE_ENTITY, grpc.StatusCode.INVALID_ARGUMENT),
    "out_of_range": (HTTPStatus.UNPROCESSABLE_ENTITY, grpc.StatusCode.OUT_OF_RANGE),
    "too_large": (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, grpc.StatusCode.RESOURCE_EXHAUSTED),
    "not_acceptable": (HTTPStatus.NOT_ACCEPTABLE, grpc.StatusCode.INVALID_ARGUMENT),
    "unsupported_media_type": (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, grpc.StatusCode.INVALID_ARGUMENT),
    "unauthenticated": (HTTPStatus.UNAUTHORIZED, grpc.StatusCode.UNAUTHENTICATED),
    "forbidden": (HTTPStatus.FORBIDDEN, grpc.StatusCode.PERMISSION_DENIED),
    "model_not_found": (HTTPStatus.NOT_FOUND, grpc.StatusCode.NOT_FOUND),
    "overloaded": (HTTPStatus.TOO_MANY_REQUESTS, grpc.StatusCode.RESOURCE_EXHAUSTED),
    "deadline": (HTTPStatus.GATEWAY_TIMEOUT, grpc.StatusCode.DEADLINE_EXCEEDED),
    "not_ready": (HTTPStatus.SERVICE_UNAVAILABLE, grpc.StatusCode.UNAVAILABLE),
    "internal": (HTTPStatus.INTERNAL_SERVER_ERROR, grpc.StatusCode.INTERNAL),
}

#: Messages quote input in short excerpts (`zdc_common.errors.excerpt`); this limit catches any that do not, because a
#: gRPC client drops a reply with more than 8 KiB of metadata.
_LONGEST_MESSAGE = 2000

#: Trailing metadata of a failed call: the error's kind, as `error.kind` in an HTTP body.
GRPC_KIND_KEY = "zdc-error-kind"


def kind_of(error: BaseException) -> str:
    """The kind of an exception; ``internal`` if it is not a `ZdcError` with a status."""
    kind = error.kind if isinstance(error, ZdcError) else "internal"
    return kind if kind in STATUSES else "internal"


def message_of(error: BaseException) -> str:
    """The message for the client; details of internal errors are only in the server's log."""
    if kind_of(error) == "internal":
        return "internal error; the server's log has the details"
    text = str(error)
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[: _LONGEST_MESSAGE - 3]}..."
