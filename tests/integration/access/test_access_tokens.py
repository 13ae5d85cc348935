"""Bearer tokens for both protocols, and the requests that need none."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from helpers.models.tiny_model import some_particles
from helpers.servers.running_server import RunningServer
from zdc_common.errors import ConfigError, UnauthenticatedError
from zdc_service.cli import main
from zdc_service.client import Chunk, ClientOptions, concatenate, connect, connect_async
from zdc_service.client.transports.grpc_client import message_of_request
from zdc_service.messages import inference_pb2 as inference
from zdc_service.messages import simulation_pb2 as pb
from zdc_service.serving.server import Server
from zdc_service.settings import ServerSettings
from zdc_service.simulation import SimulationRequest
from zdc_service.status import GRPC_KIND_KEY

ALICE, BOB = "alice-0123456789abcdef", "bob-0123456789abcdefgh"
PARTICLES = some_particles(5)
BODY = {"particles": [{"pdg": 2112, "px": 0, "py": 0, "pz": 1000}], "output": "channels"}


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f"{ALICE} # alice\n{BOB}\n")
    return path


@pytest.fixture
def guarded(models_folder: Path, token_file: Path) -> Iterator[RunningServer]:
    settings = ServerSettings(
        models=models_folder, default_model="tiny", http_port=0, grpc_port=0, threads=1, token_files=[token_file]
    )
    running = RunningServer(settings)
    yield running
    running.stop()


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/simulate", {}, 200),
        ("POST", "/simulate", {"Content-Type": "application/octet-stream"}, 422),  # the path past FastAPI
        ("GET", "/models", {}, 200),
        ("GET", "/metrics", {}, 200),
        ("GET", "/docs", {}, 200),
        ("GET", "/openapi.json", {}, 200),
        ("GET", "/v2", {}, 200),
        ("POST", "/v2/repository/index", {}, None),
        ("GET", "/nowhere", {}, 404),
        ("GET", "/livez/", {}, None),
        ("GET", "/v2/health/live/../../models/tiny", {}, None),
    ],
)
def test_every_path_but_the_probes_takes_a_token(
    guarded: RunningServer, method: str, path: str, headers: dict[str, str], status: int | None
) -> None:
    with httpx.Client(base_url=guarded.http) as client:
        for wrong in ({}, {"Authorization": f"Bearer {ALICE}x"}, {"Authorization": ALICE}):
            reply = client.request(method, path, json=BODY, headers=headers | wrong)
            assert reply.status_code == 401
            assert reply.headers["WWW-Authenticate"] == "Bearer"
            error = reply.json()["error"]
            if path.startswith("/v2"):  # as the Open Inference Protocol has it
                assert "oken" in error or "Bearer" in error
            else:
                assert error["kind"] == "unauthenticated"
        for token in (ALICE, BOB):
            reply = client.request(method, path, json=BODY, headers=headers | {"Authorization": f"Bearer {token}"})
            assert reply.status_code != 401
            assert status in (reply.status_code, None)
        metrics = client.get("/metrics", headers={"Authorization": f"Bearer {BOB}"}).text
    assert 'zdc_requests_total{kind="unauthenticated",protocol="http"} 3.0' in metrics


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/v2/health/live", "/v2/health/ready"])
def test_probes_need_none(guarded: RunningServer, path: str) -> None:
    for reply in (httpx.get(guarded.http + path), httpx.get(guarded.http + path, headers={"Authorization": "x"})):
        assert reply.status_code == 200


def test_a_large_body_is_refused_and_the_connection_stays(guarded: RunningServer) -> None:
    with httpx.Client(base_url=guarded.http) as client:
        for _ in range(3):
            assert client.post("/simulate", content=bytes(3_000_000)).status_code == 401
        assert client.post("/simulate", json=BODY, headers={"Authorization": f"Bearer {ALICE}"}).status_code == 200


def calls(channel: grpc.Channel, metadata: tuple[tuple[str, str], ...]) -> Iterator[Any]:
    """Make a call of every form; yields the error of each, or None."""
    simulate = message_of_request(SimulationRequest(PARTICLES))
    coding = (pb.SimulateRequest.SerializeToString, pb.SimulateResponse.FromString)
    unary = channel.unary_unary("/zdc.v1.Simulation/Simulate", *coding)
    stream = channel.stream_stream("/zdc.v1.Simulation/SimulateStream", *coding)
    ready = channel.unary_unary(
        "/inference.GRPCInferenceService/ModelReady",
        inference.ModelReadyRequest.SerializeToString,
        inference.ModelReadyResponse.FromString,
    )
    listing = reflection_pb2.ServerReflectionRequest(list_services="")
    reflect = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
    for call in (
        lambda: unary(simulate, metadata=metadata, timeout=30),
        lambda: list(stream(iter([simulate]), metadata=metadata, timeout=30)),
        lambda: list(stream(iter([]), metadata=metadata, timeout=30)),
        lambda: ready(inference.ModelReadyRequest(name="tiny"), metadata=metadata, timeout=30),
        lambda: list(reflect(iter([listing]), metadata=metadata, timeout=30)),
    ):
        try:
            call()
            yield None
        except grpc.RpcError as error:
            yield error


def test_every_call_takes_a_token(guarded: RunningServer) -> None:
    with grpc.insecure_channel(guarded.grpc) as channel:
        for wrong in ((), (("authorization", f"Bearer {ALICE}x"),), (("authorization", ALICE),)):
            for error in calls(channel, wrong):
                assert error.code() is grpc.StatusCode.UNAUTHENTICATED
                assert dict(error.trailing_metadata())[GRPC_KIND_KEY] == "unauthenticated"
        for token in (ALICE, BOB):
            assert list(calls(channel, (("authorization", f"Bearer {token}"),))) == [None] * 5


def test_grpc_probes_need_none(guarded: RunningServer) -> None:
    with grpc.insecure_channel(guarded.grpc) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest(), timeout=30).status == 1
        assert next(health.Watch(health_pb2.HealthCheckRequest(), timeout=30)).status == 1
        for name in ("ServerLive", "ServerReady"):
            call = channel.unary_unary(
                f"/inference.GRPCInferenceService/{name}",
                getattr(inference, f"{name}Request").SerializeToString,
                getattr(inference, f"{name}Response").FromString,
            )
            call(getattr(inference, f"{name}Request")(), timeout=30)


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_clients_send_the_token_of_their_file(
    guarded: RunningServer, simulator: Any, tmp_path: Path, token_file: Path, scheme: str
) -> None:
    url = guarded.http if scheme == "http" else f"grpc://{guarded.grpc}"
    mine = tmp_path / "mine"
    mine.write_text(f"{BOB}\n")
    with connect(url, ClientOptions(token_file=mine)) as client:
        found = concatenate(client.simulate(PARTICLES, seed=3))
        np.testing.assert_array_equal(found.response, simulator.simulate(SimulationRequest(PARTICLES, 3)).response)
        token_file.write_text("carol-0123456789abcdef\n")  # bob's token is withdrawn, while his client runs
        time.sleep(1.1)
        with pytest.raises(UnauthenticatedError, match="this server does not know the token"):
            list(client.simulate(PARTICLES))
        mine.write_text("carol-0123456789abcdef\n")
        list(client.simulate(PARTICLES))
    with connect(url) as client, pytest.raises(UnauthenticatedError, match="send Authorization: Bearer"):
        list(client.simulate(PARTICLES))


def test_asynchronous_callers_read_the_refusal(guarded: RunningServer) -> None:
    """grpc.aio reports INTERNAL instead if it still writes to a refused stream; many calls make this likely."""

    async def job() -> list[Chunk | BaseException]:
        async with connect_async(f"grpc://{guarded.grpc}") as client:
            refused = (client.run(some_particles(3)) for _ in range(200))
            return await asyncio.gather(*refused, return_exceptions=True)

    assert Counter(map(type, asyncio.run(job()))) == {UnauthenticatedError: 200}


def test_the_command_takes_server_and_token_from_variables(
    guarded: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, output = tmp_path / "mine", tmp_path / "out.npz"
    mine.write_text(f"{BOB}\n")
    monkeypatch.setenv("ZDC_CLIENT_SERVER", f"grpc://{guarded.grpc}")
    arguments = ["simulate", "--particle", "pdg=2112,pz=1500", "--output", str(output)]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 1
    assert "send Authorization: Bearer <token>" in capsys.readouterr().err
    monkeypatch.setenv("ZDC_CLIENT_TOKEN_FILE", str(mine))
    main(arguments)
    assert "simulated 1 particle x" in capsys.readouterr().out
    monkeypatch.delenv("ZDC_CLIENT_SERVER")
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err == "zdc simulate: --token-file needs a server; give one with --server\n"


def test_a_file_without_tokens_refuses_to_start(models_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("# nobody yet\n")
    settings = ServerSettings(models=models_folder, http_port=0, grpc_port=0, token_files=[tmp_path / "empty"])
    with pytest.raises(ConfigError, match="empty has no token; write one token per line"):
        Server(settings)
