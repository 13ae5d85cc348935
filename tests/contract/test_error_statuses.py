"""Every kind of error has one status in each protocol, and carries its message."""

import json
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from helpers.models.tiny_model import some_particles
from helpers.servers.full_queue import ROWS, FullQueueServer
from helpers.servers.running_server import RunningServer
from zdc_common import errors
from zdc_common.errors import ZdcError
from zdc_detector.particles import Particles
from zdc_service.client.transports.grpc_client import message_of_request
from zdc_service.messages import simulation_pb2 as pb
from zdc_service.simulation import Output, SimulationRequest
from zdc_service.status import GRPC_KIND_KEY, STATUSES, kind_of, message_of

PARTICLE = {"pdg": 2112, "px": 0, "py": 0, "pz": 1000}
#: Kinds that end a process at its start, or a command; no caller of a server meets them.
NOT_FOR_CALLERS = {"model", "config", "file_format", "check", "incomplete"}


def all_errors() -> list[type[ZdcError]]:
    return [found for found in vars(errors).values() if isinstance(found, type) and issubclass(found, ZdcError)]


@pytest.mark.parametrize("error", all_errors(), ids=lambda error: error.__name__)
def test_every_error_has_a_status(error: type[ZdcError]) -> None:
    kind = kind_of(error("text"))
    assert kind in STATUSES
    assert kind == error.kind or error.kind in NOT_FOR_CALLERS


def test_no_message_is_longer_than_metadata_may_be() -> None:
    assert len(message_of(errors.InvalidInputError("x" * 10**6))) == 2000


def test_internal_errors_keep_their_details() -> None:
    assert kind_of(ValueError("secret")) == "internal"
    assert "secret" not in message_of(ValueError("secret"))


CASES: list[tuple[dict[str, Any], str, int, grpc.StatusCode, str]] = [
    ({"seed": 2**53}, "invalid_input", 422, grpc.StatusCode.INVALID_ARGUMENT, "must be in [0, 2^53)"),
    ({"pz": 2.56e6}, "out_of_range", 422, grpc.StatusCode.OUT_OF_RANGE, "particle[0]: energy: 2.56e+06 GeV"),
    ({"repeats": 3001}, "too_large", 413, grpc.StatusCode.RESOURCE_EXHAUSTED, "limit of 3000 rows"),
    ({"model": "nope"}, "model_not_found", 404, grpc.StatusCode.NOT_FOUND, "loaded are strips, tiny"),
    ({"version": 7}, "model_not_found", 404, grpc.StatusCode.NOT_FOUND, "loaded are [1, 2]"),
]


@pytest.mark.parametrize(("changes", "kind", "status", "_code", "text"), CASES)
def test_http(
    server: RunningServer, changes: dict[str, Any], kind: str, status: int, _code: grpc.StatusCode, text: str
) -> None:
    particle = PARTICLE | {k: v for k, v in changes.items() if k == "pz"}
    body = {"particles": [particle]} | {k: v for k, v in changes.items() if k != "pz"}
    reply = httpx.post(f"{server.http}/simulate", json=body)
    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/json"
    assert reply.json()["error"]["kind"] == kind
    assert text in reply.json()["error"]["message"]


@pytest.mark.parametrize("method", ["Simulate", "SimulateStream"])
@pytest.mark.parametrize(("changes", "kind", "_status", "code", "text"), CASES)
def test_grpc(
    server: RunningServer,
    changes: dict[str, Any],
    kind: str,
    _status: int,
    code: grpc.StatusCode,
    text: str,
    method: str,
) -> None:
    particle = PARTICLE | {k: v for k, v in changes.items() if k == "pz"}
    particles = Particles.from_columns({name: [value] for name, value in particle.items()})
    options = {k: v for k, v in changes.items() if k != "pz"}
    error = grpc_error(server, message_of_request(SimulationRequest(particles, **options)), method)
    assert error.code() is code
    assert text in error.details()
    assert dict(error.trailing_metadata())[GRPC_KIND_KEY] == kind


def grpc_error(server: RunningServer, message: pb.SimulateRequest, method: str = "Simulate") -> Any:
    coding = (pb.SimulateRequest.SerializeToString, pb.SimulateResponse.FromString)
    path = f"/zdc.v1.Simulation/{method}"
    with grpc.insecure_channel(server.grpc) as channel:
        try:
            if method == "Simulate":
                channel.unary_unary(path, *coding)(message, timeout=30)
            else:
                list(channel.stream_stream(path, *coding)(iter([message]), timeout=30))
        except grpc.RpcError as error:
            return error
    pytest.fail("the call did not fail")


@pytest.mark.parametrize(
    ("particles", "text"),
    [
        (pb.Particles(), "no particles"),
        (pb.Particles(pdg=b"\0\0\0"), "particles.pdg has 3 bytes; it must have a multiple of 4 bytes"),
        (pb.Particles(pdg=bytes(8), momentum=bytes(12)), "particles.momentum has 12 bytes; it must have 6 numbers"),
        (pb.Particles(pdg=bytes(4), momentum=bytes(12), vertex=b"1"), "particles.vertex has 1 byte;"),
        (pb.Particles(pdg=bytes(4), momentum=bytes(12), mass=bytes(8)), "particles.mass has 8 bytes"),
        (pb.Particles(pdg=b"\x16\0\0\0", momentum=bytes(12)), "particle[0]: pz = 0 GeV/c must not be 0"),
    ],
)
def test_grpc_columns_that_do_not_fit(server: RunningServer, particles: pb.Particles, text: str) -> None:
    error = grpc_error(server, pb.SimulateRequest(particles=particles))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert text in error.details()


def test_grpc_names_enum_values_it_does_not_know(server: RunningServer) -> None:
    message = message_of_request(SimulationRequest(some_particles(1)))
    message.output = 99  # type: ignore[assignment]
    assert "output = 99 is not one of" in grpc_error(server, message).details()


@pytest.mark.parametrize(("output", "most"), [(Output.RESPONSE, 1073), (Output.HITS, 538)])
def test_a_unary_reply_above_4_mib_is_refused_before_it_is_simulated(
    server: RunningServer, output: Output, most: int
) -> None:
    before = rows_simulated(server)
    message = message_of_request(SimulationRequest(some_particles(most + 1), output=output))
    error = grpc_error(server, message)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert f"use SimulateStream, or at most {most} rows" in error.details()
    assert rows_simulated(server) == before
    message = message_of_request(SimulationRequest(some_particles(most), output=output))
    coding = (pb.SimulateRequest.SerializeToString, pb.SimulateResponse.FromString)
    with grpc.insecure_channel(server.grpc) as channel:  # with the usual limit of 4 MiB
        reply = channel.unary_unary("/zdc.v1.Simulation/Simulate", *coding)(message, timeout=60)
    assert len(reply.particle) == 4 * most


def rows_simulated(server: RunningServer) -> float:
    registry = server.server.simulator.instruments.registry
    return registry.get_sample_value("zdc_rows_total", {"model": "tiny", "version": "2"}) or 0.0


@pytest.mark.parametrize(
    ("content", "headers", "status", "kind", "text"),
    [
        (b"{", {}, 422, "invalid_input", "the body is not JSON"),
        (b'{"particles": [{"pdg": 22}]}', {}, 422, "invalid_input", "particle[0]: px is missing"),
        (b"{}", {"Accept": "text/html"}, 406, "not_acceptable", "accept one of application/json"),
        (
            json.dumps({"particles": [PARTICLE], "output": "hits"}).encode(),
            {"Accept": "application/x-npy"}, 406, "not_acceptable", "accept application/x-npz",
        ),
        (b" " * (3000 * 512 + 1), {}, 413, "too_large", "the body has more than 1536000 bytes"),
    ],
)  # fmt: skip
def test_http_bodies_and_headers(
    server: RunningServer, content: bytes, headers: dict[str, str], status: int, kind: str, text: str
) -> None:
    reply = httpx.post(f"{server.http}/simulate", content=content, headers=headers)
    assert reply.status_code == status
    assert reply.json()["error"]["kind"] == kind
    assert text in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "status", "kind", "text"),
    [
        ("/nowhere", 404, "not_found", "GET /nowhere: Not Found; see /docs"),
        ("/simulate", 405, "method_not_allowed", "GET /simulate: Method Not Allowed; allowed methods: POST"),
        ("/models/tiny/x", 404, "model_not_found", "there is no version 'x': versions are 1, 2"),
        ("/models/tiny/9", 404, "model_not_found", "model 'tiny' has no version 9; loaded are [1, 2]"),
    ],
)
def test_other_http_errors_have_the_same_form(
    server: RunningServer, path: str, status: int, kind: str, text: str
) -> None:
    reply = httpx.get(server.http + path)
    assert reply.status_code == status
    assert text in reply.json()["error"]["message"]
    assert reply.json()["error"]["kind"] == kind


def test_an_overloaded_server_says_when_to_come_back(models_folder: Path) -> None:
    running = FullQueueServer(models_folder)
    try:
        running.fill()
        body = {"particles": [PARTICLE], "repeats": ROWS, "output": "channels"}
        reply = httpx.post(f"{running.http}/simulate", json=body, timeout=60)
        message = message_of_request(SimulationRequest(some_particles(1), repeats=ROWS, output=Output.CHANNELS))
        error = grpc_error(running, message, "SimulateStream")
    finally:
        running.stop()
    assert reply.status_code == 429
    assert reply.headers["Retry-After"] == "1"
    assert reply.json()["error"]["kind"] == "overloaded"
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert dict(error.trailing_metadata())[GRPC_KIND_KEY] == "overloaded"
