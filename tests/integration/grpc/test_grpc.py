"""gRPC on a real socket: messages, streams, health, reflection."""

import queue
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from helpers.models.tiny_model import some_particles
from helpers.servers.running_server import RunningServer
from helpers.servers.stopped_reader import assert_stopped_reader_is_cheap
from helpers.waiting import wait_until
from zdc_detector.particles import Particles
from zdc_service.client.transports.grpc_client import message_of_request
from zdc_service.messages import simulation_pb2 as pb
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import OutOfRange, Output, SimulationRequest

Stream = Callable[..., Any]


@pytest.fixture
def channel(server: RunningServer) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.grpc) as opened:
        yield opened


@pytest.fixture
def unary(channel: grpc.Channel) -> Callable[..., pb.SimulateResponse]:
    coding = (pb.SimulateRequest.SerializeToString, pb.SimulateResponse.FromString)
    return channel.unary_unary("/zdc.v1.Simulation/Simulate", *coding)


@pytest.fixture
def stream(channel: grpc.Channel) -> Stream:
    coding = (pb.SimulateRequest.SerializeToString, pb.SimulateResponse.FromString)
    return channel.stream_stream("/zdc.v1.Simulation/SimulateStream", *coding)


def message(n: int, seed: int = 7, **options: object) -> pb.SimulateRequest:
    return message_of_request(SimulationRequest(some_particles(n), seed=seed, **options))  # type: ignore[arg-type]


def test_a_unary_reply_has_every_field(unary: Callable[..., pb.SimulateResponse]) -> None:
    reply = unary(message(3, first_row=5, repeats=2), timeout=30)
    assert (reply.model, reply.version, reply.seed, reply.first_row, reply.repeats) == ("tiny", 2, 7, 5, 2)
    assert reply.finish == "poisson"
    assert list(reply.shape) == [44, 44]
    assert list(reply.channel_names) == ["tower1", "tower2", "tower3", "tower4", "common"]
    assert np.frombuffer(reply.particle, "<u4").tolist() == [0, 0, 1, 1, 2, 2]
    assert reply.side == b"".join(side * 2 for side in some_particles(3).side.tolist())
    assert (reply.photon_type, reply.channel_type) == (pb.ELEMENT_TYPE_UINT16, pb.ELEMENT_TYPE_UINT32)
    images = np.frombuffer(reply.response, "<u2").reshape(6, -1)
    np.testing.assert_array_equal(np.frombuffer(reply.channels, "<u4").reshape(6, 5).sum(axis=1), images.sum(axis=1))
    assert reply.last


def test_raw_rates_are_floats(unary: Callable[..., pb.SimulateResponse]) -> None:
    reply = unary(message(3, rates=True), timeout=30)
    assert (reply.photon_type, reply.channel_type) == (pb.ELEMENT_TYPE_FLOAT32, pb.ELEMENT_TYPE_FLOAT32)
    assert reply.finish == "none"
    assert len(reply.response) == 3 * 44 * 44 * 4


def test_an_absent_seed_is_drawn(unary: Callable[..., pb.SimulateResponse]) -> None:
    without = message(1)
    without.ClearField("seed")
    assert unary(without, timeout=30).seed != unary(without, timeout=30).seed
    assert unary(message(1, seed=0), timeout=30).seed == 0


def test_energy_mass_and_charge_may_be_given(unary: Callable[..., pb.SimulateResponse]) -> None:
    particles, bare = some_particles(4), message(4)
    full = message(4)
    for i, name in ((0, "energy"), (7, "mass"), (8, "charge")):
        setattr(full.particles, name, particles.conditions[:, i].astype("<f4").tobytes())
    assert unary(full, timeout=30).response == unary(bare, timeout=30).response


def test_a_stream_answers_in_order_and_in_pieces_below_the_limit(stream: Stream, simulator: Simulator) -> None:
    sizes = [3, 1000, 1, 700]
    replies = list(stream(iter([message(n, seed) for seed, n in enumerate(sizes)]), timeout=120))
    assert [reply.seed for reply in replies if reply.last] == [0, 1, 2, 3]
    assert len(replies) > len(sizes)
    assert max(reply.ByteSize() for reply in replies) < 4 * 1024 * 1024
    for seed, n in enumerate(sizes):
        mine = [reply for reply in replies if reply.seed == seed]
        assert np.frombuffer(b"".join(r.particle for r in mine), "<u4").tolist() == list(range(n))
        result = simulator.simulate(SimulationRequest(some_particles(n), seed=seed))
        assert b"".join(r.response for r in mine) == np.asarray(result.response).tobytes()


def test_counts_by_reason_stand_in_the_last_reply(stream: Stream) -> None:
    particles = some_particles(1000)
    codes = particles.pdg.copy()
    codes[::2] = 130
    request = SimulationRequest(Particles(codes, particles.conditions), seed=7, out_of_range=OutOfRange.SKIP)
    wanted = message_of_request(request)
    wanted.particles.ClearField("mass")
    replies = list(stream(iter([wanted]), timeout=60))
    assert [dict(reply.skipped) for reply in replies] == [{}] * (len(replies) - 1) + [{"species": 500}]
    assert sum(len(reply.particle) // 4 for reply in replies) == 500


def test_a_request_without_rows_has_one_reply(stream: Stream) -> None:
    kaons = Particles.from_columns({"pdg": [130], "px": [0.0], "py": [0.0], "pz": [500.0]})
    request = message_of_request(SimulationRequest(kaons, out_of_range=OutOfRange.SKIP, output=Output.HITS))
    (reply,) = stream(iter([request]), timeout=30)
    assert reply.last
    assert dict(reply.skipped) == {"species": 1}
    assert reply.hits.offsets == bytes(8)


def test_an_invalid_request_ends_the_stream_after_the_answers_before_it(stream: Stream) -> None:
    call = stream(iter([message(5), message(5, seed=2**53), message(5)]), timeout=30)
    assert next(call).last
    with pytest.raises(grpc.RpcError) as caught:
        next(call)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_an_interactive_stream_is_answered_at_once(stream: Stream) -> None:
    requests: queue.Queue[pb.SimulateRequest | None] = queue.Queue()
    call = stream(iter(requests.get, None), timeout=30)
    for seed in range(3):
        requests.put(message(1, seed))
        assert next(call).seed == seed  # the next request is sent only now
    requests.put(None)
    assert list(call) == []


def test_a_client_that_stops_reading_uses_at_most_one_window(server: RunningServer, stream: Stream) -> None:
    assert_stopped_reader_is_cheap(server, stream, (message(3000, seed) for seed in range(1000)), "grpc_stream")


def test_a_deadline_ends_the_call_and_its_work(
    server: RunningServer, unary: Callable[..., pb.SimulateResponse]
) -> None:
    registry = server.server.simulator.instruments.registry
    with pytest.raises(grpc.RpcError) as caught:
        unary(message(1000), timeout=0.01)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    wait_until(lambda: registry.get_sample_value("zdc_queue_rows") == 0)


@pytest.mark.parametrize("service", ["", "zdc.v1.Simulation"])
def test_health(channel: grpc.Channel, service: str) -> None:
    reply = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=30)
    assert reply.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_describes_the_contract(channel: grpc.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="zdc.v1.Simulation"),
    ]
    services, file = stub.ServerReflectionInfo(iter(requests), timeout=30)
    names = {service.name for service in services.list_services_response.service}
    assert {"zdc.v1.Simulation", "grpc.health.v1.Health"} <= names
    described = descriptor_pb2.FileDescriptorProto.FromString(file.file_descriptor_response.file_descriptor_proto[0])
    assert [method.name for method in described.service[0].method] == ["Simulate", "SimulateStream"]
