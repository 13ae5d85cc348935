"""The Open Inference Protocol over gRPC on a real socket: requests that `tritonclient` does not send."""

import queue
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from helpers.callers.inference_requests import CODING, INFER, STREAM_CODING, STREAM_INFER, grpc_message, grpc_outputs
from helpers.models.tiny_model import some_particles
from helpers.servers.running_server import RunningServer
from helpers.servers.stopped_reader import assert_stopped_reader_is_cheap
from helpers.waiting import wait_until
from zdc_service.messages import inference_pb2 as pb
from zdc_service.settings import ServerSettings
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import SimulationRequest
from zdc_service.status import GRPC_KIND_KEY

SERVICE = "inference.GRPCInferenceService"
PARTICLES = some_particles(5)
TENSORS = {"particles": PARTICLES.conditions}

#: One neutron, as a person would write it.
JSON_PARTICLE = {
    "inputs": [
        {
            "name": "particles", "datatype": "FP32", "shape": [1, 9],
            "data": [1000.0004, 0, 0, 0, 0.1, 0, 1000, 939.565, 0],
        }
    ]
}  # fmt: skip

Unary = Callable[..., pb.ModelInferResponse]
Stream = Callable[..., Any]


@pytest.fixture
def channel(server: RunningServer) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.grpc, options=[("grpc.max_receive_message_length", -1)]) as opened:
        yield opened


@pytest.fixture
def unary(channel: grpc.Channel) -> Unary:
    return channel.unary_unary(INFER, *CODING)


@pytest.fixture
def stream(channel: grpc.Channel) -> Stream:
    return channel.stream_stream(STREAM_INFER, *STREAM_CODING)


def photons(simulator: Simulator, n: int, seed: int) -> np.ndarray:
    return np.asarray(simulator.simulate(SimulationRequest(some_particles(n), seed=seed)).response)


def message(n: int, seed: int, request_id: str = "", **parameters: Any) -> pb.ModelInferRequest:
    made = grpc_message("tiny", {"particles": some_particles(n).conditions}, seed=seed, **parameters)
    made.id = request_id
    return made


def test_no_model_is_the_default_model(unary: Unary) -> None:
    reply = unary(grpc_message("", TENSORS), timeout=30)
    assert (reply.model_name, reply.model_version) == ("tiny", "2")


def test_elements_in_typed_fields(unary: Unary, simulator: Simulator) -> None:
    request = grpc_message("strips", {**TENSORS, "pdg": PARTICLES.pdg}, seed=1)
    request.ClearField("raw_input_contents")
    request.inputs[0].contents.fp32_contents.extend(PARTICLES.conditions.ravel())
    request.inputs[1].contents.int64_contents.extend(PARTICLES.pdg)
    wanted = simulator.simulate(SimulationRequest(PARTICLES, seed=1, model="strips"))
    np.testing.assert_array_equal(grpc_outputs(unary(request, timeout=30))["channels"], wanted.channels)


def test_a_seed_may_be_an_unsigned_parameter(unary: Unary) -> None:
    request = grpc_message("tiny", TENSORS)
    request.parameters["seed"].uint64_param = 2**53 - 1
    assert unary(request, timeout=30).parameters["seed"].int64_param == 2**53 - 1


def test_a_stream_is_answered_in_order(stream: Stream, simulator: Simulator) -> None:
    sizes = [3, 1000, 1, 700, 2000]
    replies = list(stream(iter([message(n, seed, f"{seed}") for seed, n in enumerate(sizes)]), timeout=120))
    assert [reply.infer_response.id for reply in replies] == ["0", "1", "2", "3", "4"]
    for seed, (n, reply) in enumerate(zip(sizes, replies, strict=True)):
        assert reply.infer_response.parameters["triton_final_response"].bool_param
        np.testing.assert_array_equal(grpc_outputs(reply.infer_response)["response"], photons(simulator, n, seed))


def test_an_error_does_not_end_a_stream(stream: Stream) -> None:
    requests = [message(3, 1, "a"), message(3, 1, "b", sed=1), message(3, 2**53, "c"), message(3, 1, "d")]
    replies = list(stream(iter(requests), timeout=60))
    assert [reply.infer_response.id for reply in replies] == ["a", "b", "c", "d"]
    assert [bool(reply.error_message) for reply in replies] == [False, True, True, False]
    assert "parameter 'sed' is unknown" in replies[1].error_message
    assert "must be in [0, 2^53)" in replies[2].error_message
    assert not replies[1].infer_response.outputs


def test_an_interactive_stream_is_answered_at_once(stream: Stream) -> None:
    requests: queue.Queue[pb.ModelInferRequest | None] = queue.Queue()
    call = stream(iter(requests.get, None), timeout=30)
    for seed in range(3):
        requests.put(message(1, seed))
        assert next(call).infer_response.parameters["seed"].int64_param == seed
    requests.put(None)
    assert list(call) == []


def test_a_client_that_stops_reading_uses_at_most_one_window(server: RunningServer, stream: Stream) -> None:
    assert_stopped_reader_is_cheap(server, stream, (message(1000, seed) for seed in range(1000)), "grpc_v2_stream")
    registry = server.server.simulator.instruments.registry
    wait_until(lambda: registry.get_sample_value(PENDING, {"model": "tiny", "version": "2"}) == 0)


PENDING = "nv_inference_pending_request_count"


def raw(count: int) -> pb.ModelInferRequest:
    request = grpc_message("tiny", TENSORS)
    del request.raw_input_contents[:]
    request.raw_input_contents.extend([b""] * count)
    return request


def shared() -> pb.ModelInferRequest:
    request = grpc_message("tiny", TENSORS)
    request.inputs[0].parameters["shared_memory_region"].string_param = "x"
    return request


def of_version(version: str) -> pb.ModelInferRequest:
    request = grpc_message("tiny", TENSORS)
    request.model_version = version
    return request


@pytest.mark.parametrize(
    ("request_", "code", "kind", "text"),
    [
        (raw(2), "INVALID_ARGUMENT", "invalid_input", "raw_input_contents has 2 tensors for 1 input;"),
        (raw(1), "INVALID_ARGUMENT", "invalid_input", "input particles has 0 bytes; FP32 of shape [5, 9] needs 180"),
        (raw(0), "INVALID_ARGUMENT", "invalid_input", "input particles has 0 numbers; shape [5, 9] needs 45"),
        (shared(), "INVALID_ARGUMENT", "invalid_input", "parameter 'shared_memory_region' of a tensor is unknown"),
        (grpc_message("tiny", {"particles": np.zeros((1, 9))}), "INVALID_ARGUMENT", "invalid_input", "datatype 'FP64'"),
        (grpc_message("tiny", TENSORS, seed=0.5), "INVALID_ARGUMENT", "invalid_input", "must be an integer"),
        (grpc_message("nope", TENSORS), "NOT_FOUND", "model_not_found", "model 'nope' is not loaded"),
        (of_version("9"), "NOT_FOUND", "model_not_found", "model 'tiny' has no version 9"),
        (message(3001, 1), "RESOURCE_EXHAUSTED", "too_large", "limit of 3000 rows"),
        (grpc_message("tiny", TENSORS, timeout=1), "DEADLINE_EXCEEDED", "deadline", "the deadline passed"),
    ],
)
def test_errors(unary: Unary, request_: pb.ModelInferRequest, code: str, kind: str, text: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        unary(request_, timeout=30)
    error: Any = caught.value
    assert error.code().name == code
    assert text in error.details()
    assert dict(error.trailing_metadata())[GRPC_KIND_KEY] == kind


def test_a_deadline_ends_the_call_and_its_work(server: RunningServer, unary: Unary) -> None:
    registry = server.server.simulator.instruments.registry
    with pytest.raises(grpc.RpcError) as caught:
        unary(message(3000, 1), timeout=0.01)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    wait_until(lambda: registry.get_sample_value("zdc_queue_rows") == 0)


def call(channel: grpc.Channel, method: str, asked: Any, said: Any) -> Any:
    return channel.unary_unary(f"/{SERVICE}/{method}", type(asked).SerializeToString, said.FromString)(
        asked, timeout=30
    )


def test_a_server_that_shuts_down_is_not_ready_but_serves(models_folder: Path) -> None:
    running = RunningServer(
        ServerSettings(models=models_folder, default_model="tiny", http_port=0, grpc_port=0, threads=1)
    )
    try:
        running.drain()
        with grpc.insecure_channel(running.grpc) as channel:
            assert call(channel, "ServerLive", pb.ServerLiveRequest(), pb.ServerLiveResponse).live
            assert not call(channel, "ServerReady", pb.ServerReadyRequest(), pb.ServerReadyResponse).ready
            assert not call(channel, "ModelReady", pb.ModelReadyRequest(name="tiny"), pb.ModelReadyResponse).ready
            assert channel.unary_unary(INFER, *CODING)(message(1, 1), timeout=30).outputs
        for path in ("health/ready", "models/tiny/ready"):
            reply = httpx.get(f"{running.http}/v2/{path}")
            assert (reply.status_code, reply.json()) == (503, {"error": "shutting down"})
        assert httpx.get(f"{running.http}/v2/health/live").status_code == 200
        assert httpx.post(f"{running.http}/v2/models/tiny/infer", json=JSON_PARTICLE).status_code == 200
    finally:
        running.stop()


def test_repositories_have_no_names(channel: grpc.Channel) -> None:
    def index(**fields: Any) -> Any:
        return call(channel, "RepositoryIndex", pb.RepositoryIndexRequest(**fields), pb.RepositoryIndexResponse)

    assert [entry.name for entry in index(ready=True).models] == ["strips", "tiny", "tiny"]
    with pytest.raises(grpc.RpcError) as caught:
        index(repository_name="x")
    assert "repository_name = 'x' is unknown; leave it empty" in str(caught.value.details())


def test_health_and_reflection(channel: grpc.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=30)
    assert health.status == health_pb2.HealthCheckResponse.SERVING
    wanted = reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE)
    (reply,) = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([wanted]), timeout=30)
    assert reply.file_descriptor_response.file_descriptor_proto[0] == pb.DESCRIPTOR.serialized_pb
