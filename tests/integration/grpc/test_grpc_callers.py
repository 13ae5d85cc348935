"""gRPC clients that never read, never complete a message or send invalid ones delay no others and use little memory."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import grpc
import h2.events
import h2.exceptions
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from helpers.callers.raw_grpc import RawCaller, framed
from helpers.models.tiny_model import some_particles
from helpers.servers.running_server import RunningServer, running
from helpers.waiting import PATIENCE, wait_until
from zdc_service.client.transports.grpc_client import message_of_request
from zdc_service.messages import inference_pb2 as inference
from zdc_service.simulation import SimulationRequest
from zdc_service.status import GRPC_KIND_KEY

WATCH, CHECK = "/grpc.health.v1.Health/Watch", "/grpc.health.v1.Health/Check"
SIMULATE, STREAM = "/zdc.v1.Simulation/Simulate", "/zdc.v1.Simulation/SimulateStream"
INFER, INFER_STREAM = "/inference.GRPCInferenceService/ModelInfer", "/inference.GRPCInferenceService/ModelStreamInfer"
METADATA = "/inference.GRPCInferenceService/ModelMetadata"
REFLECT = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
LIST = "/grpc.health.v1.Health/List"
SECONDS = 0.2


@pytest.fixture(scope="module")
def hurried(models_folder: Path) -> Iterator[RunningServer]:
    with running(models_folder, body_seconds=SECONDS) as server:
        yield server


def many_rows(repeats: int = 200) -> bytes:
    return framed(message_of_request(SimulationRequest(some_particles(1), repeats=repeats)).SerializeToString())


def refusals(server: RunningServer, protocol: str, kind: str) -> float:
    labels = {"protocol": protocol, "kind": kind}
    return server.server.simulator.instruments.registry.get_sample_value("zdc_requests_total", labels) or 0.0


def test_a_watch_that_is_not_read_delays_no_other_and_no_shutdown(models_folder: Path) -> None:
    with ExitStack() as callers, running(models_folder, shutdown_seconds=60.0) as server:
        stub = health_pb2_grpc.HealthStub(callers.enter_context(grpc.insecure_channel(server.grpc)))
        watches = [stub.Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE) for _ in range(3)]
        assert [next(watch).status for watch in watches] == [1, 1, 1]
        watches.pop(1).cancel()  # the others are still told
        deaf = callers.enter_context(RawCaller(server.server.grpc_port, window=0))
        deaf.wait_for(h2.events.ResponseReceived, deaf.call(WATCH, framed(b""), end=True))
        late = stub.Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
        assert next(late).status == health_pb2.HealthCheckResponse.SERVING
        server.drain()
        assert [next(watch).status for watch in (*watches, late)] == [2, 2, 2]
        began = time.monotonic()
    assert time.monotonic() - began < 20  # not --shutdown-seconds: who only watches is not waited for


def test_all_services_are_listed_with_their_state(server: RunningServer) -> None:
    with RawCaller(server.server.grpc_port) as caller:
        stream = caller.call(LIST, framed(b""), end=True)
        assert caller.trailers(stream)["grpc-status"] == "0"
        data = b"".join(bytes(e.data or b"") for e in caller.events if isinstance(e, h2.events.DataReceived))
    for name in (b"zdc.v1.Simulation", b"inference.GRPCInferenceService"):
        assert name in data


@pytest.mark.parametrize(
    ("method", "protocol"),
    [
        (SIMULATE, "grpc"), (STREAM, "grpc_stream"), (INFER, "grpc_v2"), (INFER_STREAM, "grpc_v2_stream"),
        (METADATA, "grpc_v2"), (CHECK, "grpc"), (WATCH, "grpc"), (LIST, "grpc"), (REFLECT, "grpc"),
    ],
)  # fmt: skip
def test_invalid_messages_are_refused_and_counted(server: RunningServer, method: str, protocol: str) -> None:
    before = refusals(server, protocol, "invalid_input")
    with RawCaller(server.server.grpc_port) as caller:
        end = caller.trailers(caller.call(method, framed(b"\xff\xff\xff"), end=True))
    assert (end["grpc-status"], end[GRPC_KIND_KEY]) == (str(grpc.StatusCode.INVALID_ARGUMENT.value[0]), "invalid_input")
    assert "the message of 3 bytes is not a valid" in end["grpc-message"]
    assert refusals(server, protocol, "invalid_input") == before + 1


@pytest.mark.parametrize("method", [METADATA, CHECK, WATCH, LIST])
def test_a_large_message_to_a_method_that_takes_a_name_is_not_looked_at(server: RunningServer, method: str) -> None:
    with RawCaller(server.server.grpc_port) as caller:
        end = caller.trailers(caller.call(method, framed(bytes(100_000)), end=True))
    assert (end["grpc-status"], end[GRPC_KIND_KEY]) == ("8", "too_large")


def test_a_million_parameters_are_counted_and_not_read(server: RunningServer) -> None:
    message = inference.ModelInferRequest(model_name="tiny")
    for number in range(1000):
        message.parameters[f"{number}"].int64_param = 1
    with RawCaller(server.server.grpc_port) as caller:
        end = caller.trailers(caller.call(INFER, framed(message.SerializeToString()), end=True))
    assert end["grpc-message"] == "1000 parameters are given; the maximum is 64"


def test_a_message_that_grpc_refuses_as_too_large_is_no_invalid_one(server: RunningServer) -> None:
    before = refusals(server, "grpc", "invalid_input"), refusals(server, "grpc", "cancelled")
    with RawCaller(server.server.grpc_port) as caller:
        end = caller.trailers(caller.call(SIMULATE, framed(b"", 2**30)))
    assert (end["grpc-status"], end["grpc-message"][:40]) == ("8", "SERVER: Received message larger than max")
    wait_until(lambda: refusals(server, "grpc", "cancelled") == before[1] + 1)
    assert refusals(server, "grpc", "invalid_input") == before[0]


def test_a_call_that_ends_without_a_message_is_refused(server: RunningServer) -> None:
    with RawCaller(server.server.grpc_port) as caller:
        end = caller.trailers(caller.call(SIMULATE, end=True))
    assert (end["grpc-status"], end[GRPC_KIND_KEY]) == ("3", "invalid_input")


@pytest.mark.parametrize("method", [SIMULATE, STREAM, INFER, INFER_STREAM, METADATA, WATCH, REFLECT])
@pytest.mark.parametrize("body", [b"", framed(b"begun", 1000)], ids=["nothing", "half a message"])
def test_a_message_that_does_not_arrive_is_not_awaited_for_ever(
    hurried: RunningServer, method: str, body: bytes
) -> None:
    with RawCaller(hurried.server.grpc_port) as caller:
        end = caller.trailers(caller.call(method, body))
    assert (end["grpc-status"], end[GRPC_KIND_KEY]) == ("4", "deadline")
    assert end["grpc-message"].startswith("the message did not arrive within 0.2 s")


def test_a_stream_with_unread_answers_keeps_one_of_them(hurried: RunningServer) -> None:
    budget = hurried.server.budget
    with RawCaller(hurried.server.grpc_port, window=0) as deaf:
        stream = deaf.call(STREAM, many_rows() * 10)
        wait_until(lambda: budget.held > 3_000_000)
        wait_until(lambda: 0 < budget.held < 1_100_000)
        deaf.read_on(stream)
        end = deaf.trailers(stream)
    assert (end["grpc-status"], end["grpc-message"]) == ("4", "an answer was not read within 0.2 s")
    wait_until(lambda: budget.held == 0)


@pytest.mark.parametrize("method", [SIMULATE, STREAM])
def test_clients_that_do_not_read_make_room_for_others(models_folder: Path, method: str) -> None:
    """A slow client keeps its answer as long as no other client needs the memory."""
    with running(models_folder, body_seconds=SECONDS, max_held_bytes=2**20) as server:
        budget, port = server.server.budget, server.server.grpc_port
        with RawCaller(port, window=0) as deaf, RawCaller(port) as other:
            deaf.call(method, many_rows(200), end=True)
            wait_until(lambda: budget.held > 500_000)
            time.sleep(4 * SECONDS)
            assert budget.held > 500_000
            first = other.trailers(other.call(SIMULATE, many_rows(100), end=True))
            assert (first["grpc-status"], first[GRPC_KIND_KEY]) == ("8", "overloaded")
            wait_until(lambda: budget.held == 0)
            stream = other.call(SIMULATE, many_rows(100), end=True)
            other.read_on(stream)
            assert other.trailers(stream)["grpc-status"] == "0"
            with pytest.raises(AssertionError, match="the connection has ended"):
                deaf.wait_for(h2.events.ConnectionTerminated)


def test_a_client_that_leaves_before_its_answer_is_no_server_error(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    with RawCaller(server.server.grpc_port, window=0) as caller:
        caller.wait_for(h2.events.ResponseReceived, caller.call(SIMULATE, many_rows(), end=True))
    budget = server.server.budget
    wait_until(lambda: budget.held == 0)
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def test_streams_may_be_idle(hurried: RunningServer) -> None:
    with RawCaller(hurried.server.grpc_port) as caller:
        stream = caller.call(STREAM, many_rows(1))
        caller.wait_for(h2.events.DataReceived, stream)
        time.sleep(4 * SECONDS)
        caller.send(stream, many_rows(1), end=True)
        assert caller.trailers(stream)["grpc-status"] == "0"


def test_calls_under_way_are_counted_over_all_connections_and_probes_apart(models_folder: Path) -> None:
    with running(models_folder, max_connections=6) as server:
        port = server.server.grpc_port
        with RawCaller(port) as one, RawCaller(port) as two:
            for caller in (one, two):
                for _ in range(3):
                    caller.wait_for(h2.events.DataReceived, caller.call(STREAM, many_rows(1)))
            end = two.trailers(two.call(SIMULATE, many_rows(1), end=True))
            assert (end["grpc-status"], end[GRPC_KIND_KEY]) == ("8", "overloaded")
            assert "6 calls are in progress" in end["grpc-message"]
            assert refusals(server, "grpc", "overloaded") == 1
            assert two.trailers(two.call(CHECK, framed(b""), end=True))["grpc-status"] == "0"


@pytest.mark.parametrize(("seconds", "stays"), [(0.02, True), (60.0, False), (0.0, True)])
def test_an_idle_stream_outlives_its_clients_keepalive(models_folder: Path, seconds: float, stays: bool) -> None:
    with running(models_folder, grpc_ping_seconds=seconds) as server, RawCaller(server.server.grpc_port) as caller:
        stream = caller.call(STREAM, many_rows(1))
        caller.wait_for(h2.events.DataReceived, stream)
        with suppress(OSError):
            for _ in range(8):  # a few are forgiven
                time.sleep(0.03)
                caller.ping()
        if stays:
            caller.send(stream, many_rows(1), end=True)
            assert caller.trailers(stream)["grpc-status"] == "0"
        else:
            with suppress(h2.exceptions.ProtocolError):  # h2 takes nothing more after the farewell
                caller.wait_for(h2.events.ConnectionTerminated)
            assert b"too_many_pings" in caller.received
