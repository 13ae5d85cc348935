"""OpenTelemetry traces of every interface, received by a real OTLP receiver."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from helpers.callers.inference_requests import CODING, INFER, STREAM_CODING, STREAM_INFER, grpc_message, http_body
from helpers.models.tiny_model import some_particles
from helpers.servers.running_server import RunningServer
from helpers.servers.trace_receiver import Received, Receiver, receiving
from zdc_common.errors import ConfigError
from zdc_service.client.transports.grpc_client import message_of_request
from zdc_service.messages import simulation_pb2 as pb
from zdc_service.serving.server import Server
from zdc_service.serving.tracing import Tracing
from zdc_service.settings import ServerSettings
from zdc_service.simulation import SimulationRequest

PARTICLES = some_particles(3)
STAGES = ["queue", "prepare", "model", "finish", "encode"]
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACED, UNTRACED = {"traceparent": f"00-{TRACE}-{CALLER}-01"}, {"traceparent": f"00-{TRACE}-{CALLER}-00"}
SERVER, INTERNAL = 2, 1
FAILED = 2
TIMEOUT = 60

ROWS = np.array([[2112, 0.1, 0, 1500, 0, 0, 2.0]] * 3, dtype="<f4").tobytes()
MESSAGE = message_of_request(SimulationRequest(PARTICLES, seed=7, model="tiny"))
NEUTRON = {"pdg": 2112, "px": 0.1, "py": 0, "pz": 1500}


def settings(models_folder: Path, **options: Any) -> ServerSettings:
    return ServerSettings(models=models_folder, default_model="tiny", http_port=0, grpc_port=0, threads=2, **options)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with pytest.MonkeyPatch.context() as patch, receiving() as started:
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        patch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=tests")
        patch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=zdc")
        yield started


@pytest.fixture(scope="module")
def traced(models_folder: Path, receiver: Receiver) -> Iterator[RunningServer]:
    running = RunningServer(settings(models_folder, trace_endpoint=receiver.endpoint, max_batch_rows=24))
    yield running
    running.stop()


def marked(headers: dict[str, str], mark: str) -> dict[str, str]:
    """The same headers with a separate trace, to find its spans among those of other tests."""
    return {name: value.replace(TRACE, mark * 32) for name, value in headers.items()}


def of(mark: str, kind: int = SERVER) -> Any:
    return lambda one: one.span.trace_id.hex() == mark * 32 and one.span.kind == kind


def as_json(server: RunningServer, headers: dict[str, str]) -> None:
    body = {"particles": [NEUTRON] * 3, "seed": 7}
    httpx.post(f"{server.http}/simulate", json=body, headers=headers).raise_for_status()


def as_rows(server: RunningServer, headers: dict[str, str]) -> None:
    kind = {"Content-Type": "application/octet-stream", "Accept": "application/octet-stream"}
    httpx.post(f"{server.http}/simulate?seed=7", content=ROWS, headers=kind | headers).raise_for_status()


def as_tensors(server: RunningServer, headers: dict[str, str]) -> None:
    body, length = http_body({"particles": PARTICLES.conditions})
    url = f"{server.http}/v2/models/tiny/infer"
    httpx.post(url, content=body, headers=length | headers).raise_for_status()


def call(server: RunningServer, method: str, message: Any, headers: dict[str, str], coding: Any) -> list[Any]:
    metadata = tuple(headers.items())
    with grpc.insecure_channel(server.grpc) as channel:
        if "Stream" in method:
            stream = channel.stream_stream(method, *coding)
            return list(stream(iter([message]), timeout=TIMEOUT, metadata=metadata))
        return [channel.unary_unary(method, *coding)(message, timeout=TIMEOUT, metadata=metadata)]


OURS = (pb.SimulateRequest.SerializeToString, pb.SimulateResponse.FromString)
SIMULATE, SIMULATE_STREAM = "/zdc.v1.Simulation/Simulate", "/zdc.v1.Simulation/SimulateStream"
TENSORS = grpc_message("tiny", {"particles": PARTICLES.conditions}, seed=7)

WAYS: dict[str, Any] = {
    "POST /simulate": as_json,
    "POST /simulate rows": as_rows,
    "POST /v2/models/{name}/infer": as_tensors,
    "zdc.v1.Simulation/Simulate": lambda s, h: call(s, SIMULATE, MESSAGE, h, OURS),
    "zdc.v1.Simulation/SimulateStream": lambda s, h: call(s, SIMULATE_STREAM, MESSAGE, h, OURS),
    "inference.GRPCInferenceService/ModelInfer": lambda s, h: call(s, INFER, TENSORS, h, CODING),
    "inference.GRPCInferenceService/ModelStreamInfer": lambda s, h: call(s, STREAM_INFER, TENSORS, h, STREAM_CODING),
}


@pytest.mark.parametrize(("mark", "way"), list(zip("1234567", WAYS, strict=True)))
def test_a_request_is_a_span_with_its_stages_within_its_callers(
    traced: RunningServer, receiver: Receiver, mark: str, way: str
) -> None:
    WAYS[way](traced, marked(TRACED, mark))
    (found,) = receiver.wait(of(mark))
    assert found.span.name == way.removesuffix(" rows")
    assert found.span.parent_span_id.hex() == CALLER
    assert found.span.status.code != FAILED
    attributes = found.attributes
    assert (attributes["zdc.model"], attributes["zdc.version"], attributes["zdc.rows"]) == ("tiny", 2, 3)
    assert attributes["client.address"] == "127.0.0.1"
    assert attributes["user_agent.original"]
    if way.startswith("POST"):
        assert attributes["http.request.method"] == "POST"
        assert attributes["http.route"] == way.split()[1]
        assert attributes["http.response.status_code"] == 200
        assert (attributes["url.scheme"], attributes["network.protocol.version"]) == ("http", "1.1")
        assert (attributes["server.address"], attributes["server.port"]) == ("127.0.0.1", traced.server.http_port)
        assert attributes.get("url.query") == ("seed=7" if way.endswith("rows") else None)
    else:
        assert (attributes["rpc.system.name"], attributes["rpc.method"]) == ("grpc", way)
        assert attributes["rpc.response.status_code"] == "OK"
    stages = receiver.children(found, len(STAGES))
    assert [one.span.name for one in stages] == STAGES
    assert all(one.span.kind == INTERNAL and one.span.trace_id == found.span.trace_id for one in stages)
    assert all(one.attributes["zdc.seconds"] == pytest.approx(one.seconds, abs=1e-6) for one in stages[1:])
    assert all(one.seconds > 0 for one in stages[1:])
    edges = [time for one in stages for time in (one.span.start_time_unix_nano, one.span.end_time_unix_nano)]
    assert edges == sorted(edges)
    assert found.span.start_time_unix_nano <= edges[0]
    assert edges[-1] <= found.span.end_time_unix_nano


def test_the_resource_is_the_service_as_its_operator_describes_it(traced: RunningServer, receiver: Receiver) -> None:
    as_json(traced, marked(TRACED, "8"))
    (found,) = receiver.wait(of("8"))
    assert found.resource["service.name"] == "zdc-fastsim"
    assert found.resource["service.version"]
    assert found.resource["deployment.environment.name"] == "tests"
    assert set(receiver.paths) == {"/v1/traces"}
    assert {headers["x-tenant"] for headers in receiver.headers} == {"zdc"}


def test_a_request_without_a_trace_begins_one(traced: RunningServer, receiver: Receiver) -> None:
    as_json(traced, {"User-Agent": "alone"})
    (found,) = receiver.wait(lambda one: one.attributes.get("user_agent.original") == "alone")
    assert not found.span.parent_span_id
    receiver.children(found, len(STAGES))


def test_only_server_errors_are_marked(traced: RunningServer, receiver: Receiver) -> None:
    far = {"particles": [NEUTRON | {"pz": 1e6}]}
    assert httpx.post(f"{traced.http}/simulate", json=far, headers=marked(TRACED, "9")).status_code == 422
    (wrong,) = receiver.wait(of("9"))
    assert wrong.attributes["http.response.status_code"] == 422
    assert wrong.span.status.code != FAILED
    assert "error.type" not in wrong.attributes

    late = {"X-Zdc-Timeout-Ms": "0.001"} | marked(TRACED, "a")
    assert httpx.post(f"{traced.http}/simulate", json={"particles": [NEUTRON]}, headers=late).status_code == 504
    (failed,) = receiver.wait(of("a"))
    assert failed.attributes["error.type"] == "504"
    assert failed.span.status.code == FAILED
    assert "zdc.rows" not in failed.attributes


def test_statuses_of_calls_that_fail(traced: RunningServer, receiver: Receiver) -> None:
    unknown = message_of_request(SimulationRequest(PARTICLES, model="nope"))
    with pytest.raises(grpc.RpcError, match="'nope' is not loaded"):
        call(traced, SIMULATE_STREAM, unknown, marked(TRACED, "b"), OURS)
    (wrong,) = receiver.wait(of("b"))
    assert wrong.attributes["rpc.response.status_code"] == "NOT_FOUND"
    assert wrong.span.status.code != FAILED

    with grpc.insecure_channel(traced.grpc) as channel:
        stream = channel.stream_stream(SIMULATE_STREAM, *OURS)
        replies = stream(iter(lambda: MESSAGE, None), metadata=tuple(marked(TRACED, "c").items()))
        next(iter(replies))
        replies.cancel()
        (cancelled,) = receiver.wait(of("c"))
    assert cancelled.attributes["rpc.response.status_code"] == "CANCELLED"
    assert cancelled.attributes["zdc.model"] == "tiny"


def test_a_long_stream_counts_all_replies_and_shows_the_first(traced: RunningServer, receiver: Receiver) -> None:
    with grpc.insecure_channel(traced.grpc) as channel:
        stream = channel.stream_stream(SIMULATE_STREAM, *OURS)
        assert len(list(stream(iter([MESSAGE] * 50), metadata=tuple(marked(TRACED, "d").items())))) == 50
    (found,) = receiver.wait(of("d"))
    assert (found.attributes["zdc.replies"], found.attributes["zdc.rows"]) == (50, 150)
    assert len(receiver.children(found, 32 * len(STAGES))) == 32 * len(STAGES)


def test_stages_that_overlap_keep_their_sums_and_stay_within_the_request(
    traced: RunningServer, receiver: Receiver
) -> None:
    body = {"particles": [NEUTRON], "repeats": 3000, "output": "channels"}
    httpx.post(f"{traced.http}/simulate", json=body, headers=marked(TRACED, "e")).raise_for_status()
    (found,) = receiver.wait(of("e"))
    stages = receiver.children(found, len(STAGES))
    assert sorted(one.span.name for one in stages) == sorted(STAGES)
    assert all(one.span.start_time_unix_nano >= found.span.start_time_unix_nano for one in stages)
    assert all(one.attributes["zdc.seconds"] >= one.seconds - 1e-6 for one in stages)


def test_other_requests_and_unsampled_traces_have_no_span(traced: RunningServer, receiver: Receiver) -> None:
    for path in ("/livez", "/metrics", "/models", "/v2", "/v2/models/tiny"):
        httpx.get(traced.http + path, headers=marked(TRACED, "f")).raise_for_status()
    for ask in WAYS.values():
        ask(traced, marked(UNTRACED, "f"))
    as_json(traced, {"User-Agent": "after all of them"})
    receiver.wait(lambda one: one.attributes.get("user_agent.original") == "after all of them")
    assert not [one for one in receiver.spans() if one.span.trace_id.hex() == "f" * 32]


def test_a_share_leaves_requests_out_unless_their_callers_trace_them(models_folder: Path) -> None:
    with receiving() as receiver:
        endpoint = f"{receiver.endpoint}/own/path"
        running = RunningServer(settings(models_folder, trace_endpoint=endpoint, trace_share=0.0))
        as_json(running, {})
        as_json(running, TRACED)
        running.stop()  # sends what is left
        servers: list[Received] = [one for one in receiver.spans() if one.span.kind == SERVER]
    assert [one.span.trace_id.hex() for one in servers] == [TRACE]
    assert set(receiver.paths) == {"/own/path"}


def test_strangers_are_not_traced(models_folder: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("alice-0123456789abcdef\n")
    known = {"authorization": "Bearer alice-0123456789abcdef"}
    with receiving() as receiver:
        running = RunningServer(settings(models_folder, trace_endpoint=receiver.endpoint, token_files=[tokens]))
        assert httpx.post(f"{running.http}/simulate", json={"particles": [NEUTRON]}).status_code == 401
        with pytest.raises(grpc.RpcError, match="token"):
            call(running, SIMULATE, MESSAGE, TRACED, OURS)
        for ask in WAYS.values():
            ask(running, known)
        running.stop()
        servers = [one for one in receiver.spans() if one.span.kind == SERVER]
    assert len(servers) == len(WAYS)


@pytest.mark.parametrize("accepts", [False, True], ids=["away", "silent"])
def test_the_last_traces_take_two_seconds_at_most(accepts: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A receiver that accepts connections but never answers takes no more time than an absent one."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if accepts:
            listening.listen()
        tracing = Tracing(f"http://127.0.0.1:{listening.getsockname()[1]}", 1.0)
        with tracing.request("one", {}, {}):
            pass
        began = time.monotonic()
        tracing.close()
        assert time.monotonic() - began < 4  # and no 10, the exporter's own patience
        assert "the last traces are lost" in caplog.text


@pytest.mark.parametrize("endpoint", ["collector:4318", "grpc://collector:4317", "http://", ""])
def test_wrong_endpoints_are_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="must be http://host:port or https://host:port"):
        ServerSettings(trace_endpoint=endpoint)


def test_without_the_extra_the_option_is_refused(models_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with pytest.raises(ConfigError, match=r"--trace-endpoint http://a:4318: .*pip install '\.\[tracing\]'"):
        Server(settings(models_folder, trace_endpoint="http://a:4318"))


def test_a_server_that_traces_nothing_loads_nothing_of_it() -> None:
    of_the_extra = "('opentelemetry.sdk', 'opentelemetry.exporter')"  # libraries look whether there is the API
    loaded = f"[name for name in sys.modules if name.startswith({of_the_extra})]"
    program = f"import sys, zdc_service.serving.server; print({loaded})"
    path = ":".join(name for name in sys.path if name)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONPATH": path}
    )
    assert done.stdout == "[]\n"
