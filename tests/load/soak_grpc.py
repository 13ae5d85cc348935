"""Callers over gRPC: single calls and streams of our own interface, and single calls of the Open Inference Protocol."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import grpc
import grpc.aio
import numpy as np
from soak_http import inference_outputs
from soak_outcomes import Caller, Outcome, ViolationError, check_answer, check_refusal, is_past
from soak_requests import Asked
from wire import MODEL_INFER, SIMULATE, SIMULATE_STREAM
from zdc_service.client.transports.grpc_client import message_of_request, result_from_messages
from zdc_service.codecs import arrays_of
from zdc_service.messages import inference_pb2 as inference
from zdc_service.messages import simulation_pb2 as pb
from zdc_service.status import GRPC_KIND_KEY, STATUSES

#: Fits a unary reply with any output.
_UNARY_ROWS = 350
#: Messages of gRPC for a deadline: by the caller's clock, by the server's, or passed before the call starts.
_AFTER_DEADLINE = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL)
_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # a connection for each caller
    ("grpc.max_receive_message_length", -1),
)


class _GrpcCaller(Caller):
    """One channel; if the task is cancelled, its call is cancelled."""

    def __init__(self, address: str):
        self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)

    async def close(self) -> None:
        """End the connection."""
        await self._channel.close()


class UnaryCaller(_GrpcCaller):
    """``Simulate``."""

    protocol, label, most_rows = "gRPC", "grpc", _UNARY_ROWS

    def __init__(self, address: str):
        super().__init__(address)
        self._call = self._channel.unary_unary(
            SIMULATE,
            request_serializer=pb.SimulateRequest.SerializeToString,
            response_deserializer=pb.SimulateResponse.FromString,
        )

    async def ask(self, asked: Sequence[Asked], seconds: float | None, outcomes: list[Outcome]) -> None:
        """One call."""
        one, began = asked[0], time.monotonic()
        try:
            reply = await self._call(message_of_request(one.request), timeout=seconds)
        except grpc.aio.AioRpcError as error:
            outcomes.append(_outcome(one, error, seconds, began))
            return
        outcomes.append(_check_replies(one, [reply]))


class StreamCaller(Caller):
    """``SimulateStream`` with several requests.

    It uses the blocking API on a thread, because the asynchronous one loses the status of a stream that the server ends
    while a request is being written (https://github.com/grpc/grpc/issues/36066).
    """

    protocol, label, most_requests = "gRPC stream", "grpc_stream", 4

    def __init__(self, address: str):
        self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        self._call = self._channel.stream_stream(
            SIMULATE_STREAM,
            request_serializer=pb.SimulateRequest.SerializeToString,
            response_deserializer=pb.SimulateResponse.FromString,
        )
        self._thread = ThreadPoolExecutor(1)

    async def ask(self, asked: Sequence[Asked], seconds: float | None, outcomes: list[Outcome]) -> None:
        """One stream; the reason of its end is the outcome of all requests without an answer."""
        began = time.monotonic()
        call = self._call(iter([message_of_request(one.request) for one in asked]), timeout=seconds)
        reading = asyncio.get_running_loop().run_in_executor(self._thread, _read, call, asked, seconds, began, outcomes)
        try:
            await asyncio.shield(reading)
        except asyncio.CancelledError:
            call.cancel()
            with suppress(_CancelledError):
                await reading
            raise

    async def close(self) -> None:
        """End the connection."""
        self._channel.close()
        self._thread.shutdown()


class _CancelledError(Exception):
    """The caller has cancelled the stream."""


def _read(call: Any, asked: Sequence[Asked], seconds: float | None, began: float, outcomes: list[Outcome]) -> None:
    replies: list[pb.SimulateResponse] = []
    try:
        for reply in call:
            if len(outcomes) == len(asked):
                raise ViolationError("a reply after the last one")
            replies.append(reply)
            if reply.last:
                outcomes.append(_check_replies(asked[len(outcomes)], replies))
                replies = []
    except grpc.RpcError:
        if call.cancelled():
            raise _CancelledError from None
        while len(outcomes) < len(asked):  # only the last request can be bad, so the error belongs to it
            outcomes.append(_outcome(asked[-1], call, seconds, began))
    finally:
        call.cancel()
    if len(outcomes) < len(asked):
        raise ViolationError(f"the stream ended after {len(outcomes)} of {len(asked)} answers")


class InferenceGrpcCaller(_GrpcCaller):
    """``ModelInfer`` of the Open Inference Protocol."""

    protocol, label, repeats = "gRPC v2", "grpc_v2", False

    def __init__(self, address: str):
        super().__init__(address)
        self._call = self._channel.unary_unary(
            MODEL_INFER,
            request_serializer=inference.ModelInferRequest.SerializeToString,
            response_deserializer=inference.ModelInferResponse.FromString,
        )

    async def ask(self, asked: Sequence[Asked], seconds: float | None, outcomes: list[Outcome]) -> None:
        """One call."""
        one, began = asked[0], time.monotonic()
        try:
            reply = await self._call(_infer(one), timeout=seconds)
        except grpc.aio.AioRpcError as error:
            outcomes.append(_outcome(one, error, seconds, began))
            return
        found = (reply.parameters["seed"].int64_param, reply.parameters["first_row"].int64_param)
        if found != (one.request.seed, one.request.first_row):
            raise ViolationError(f"seed and first row {found} of {one.request.seed} and {one.request.first_row}")
        arrays = {
            output.name: np.frombuffer(raw, "<f4").reshape(output.shape)
            for output, raw in zip(reply.outputs, reply.raw_output_contents, strict=True)
        }
        outcomes.append(check_answer(one, one.wrong(arrays)))


def _outcome(asked: Asked, error: Any, seconds: float | None, began: float) -> Outcome:
    """The outcome of a call with this status."""
    code, text = error.code(), error.details() or ""
    kind = dict(error.trailing_metadata() or ()).get(GRPC_KIND_KEY)
    if kind is None:  # an error of gRPC itself
        kind = "deadline" if code in _AFTER_DEADLINE and is_past(seconds, began) else code.name
    elif code is grpc.StatusCode.DEADLINE_EXCEEDED and is_past(seconds, began):  # while the server's answer arrived
        kind = "deadline"
    elif STATUSES[kind][1] is not code:
        raise ViolationError(f"{kind} is {code}: {text}")
    return check_refusal(asked, kind, text, seconds, began)


def _check_replies(asked: Asked, replies: list[pb.SimulateResponse]) -> Outcome:
    request, result = asked.request, result_from_messages(replies, asked.request.output)
    if any((reply.seed, reply.first_row) != (request.seed, request.first_row) for reply in replies):
        raise ViolationError(f"seed {result.seed} and first row {result.first_row} of another request")
    return check_answer(asked, asked.wrong(arrays_of(result)))


def _infer(asked: Asked) -> inference.ModelInferRequest:
    particles, request = asked.request.particles, asked.request
    arrays: dict[str, tuple[str, np.ndarray[Any, Any]]] = {
        "particles": ("FP32", particles.conditions.astype("<f4")),
        "pdg": ("INT64", particles.pdg.astype("<i8")),
    }
    message = inference.ModelInferRequest(
        model_name=request.model, raw_input_contents=[array.tobytes() for _, array in arrays.values()]
    )
    for name, (datatype, array) in arrays.items():
        message.inputs.add(name=name, datatype=datatype, shape=array.shape)
    for name in inference_outputs(asked):
        message.outputs.add(name=name)
    message.parameters["seed"].int64_param = request.seed or 0
    message.parameters["first_row"].int64_param = request.first_row
    message.parameters["rates"].bool_param = request.rates
    return message
