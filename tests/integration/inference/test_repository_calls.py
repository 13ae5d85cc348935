"""Loads, unloads and listings of a slow models folder: no other request waits, and the server can stop."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
import pytest
from helpers.models.tiny_model import write_model
from helpers.servers.running_server import RunningServer
from helpers.waiting import PATIENCE, wait_until
from zdc_service.messages import inference_pb2 as pb
from zdc_service.settings import ServerSettings

CALLERS = 60
PARTICLE = {"particles": [{"pdg": 2112, "px": 0, "py": 0, "pz": 1000}], "output": "channels"}
LOAD = "/v2/repository/models/tiny/load"
GRPC_LOAD = "/inference.GRPCInferenceService/RepositoryModelLoad"
GRPC_CODING = (pb.RepositoryModelLoadRequest.SerializeToString, pb.RepositoryModelLoadResponse.FromString)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    write_model(tmp_path)
    running = RunningServer(
        ServerSettings(models=tmp_path, http_port=0, grpc_port=0, threads=1, model_poll_seconds=0, shutdown_seconds=1)
    )
    yield running
    running.stop()


def held(server: RunningServer) -> threading.Lock:
    """State of a load while the folder does not answer."""
    return server.server.simulator.repository._changing


def load(server: RunningServer) -> int:
    return httpx.post(server.http + LOAD, timeout=PATIENCE).status_code


def test_many_loads_wait_in_no_ones_way(server: RunningServer) -> None:
    with ThreadPoolExecutor(CALLERS) as pool, httpx.Client(base_url=server.http, timeout=PATIENCE) as client:
        with held(server):
            loads = [pool.submit(load, server) for _ in range(CALLERS)]
            wait_until(lambda: sum(one.done() for one in loads) == CALLERS - 16)
            with grpc.insecure_channel(server.grpc) as channel:  # gRPC has its own limit
                call = channel.unary_unary(
                    GRPC_LOAD,
                    pb.RepositoryModelLoadRequest.SerializeToString,
                    pb.RepositoryModelLoadResponse.FromString,
                )
                with pytest.raises(grpc.RpcError) as caught:
                    call(pb.RepositoryModelLoadRequest(model_name="tiny"), timeout=0.2)
                assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            for _ in range(20):
                assert client.post("/simulate", json=PARTICLE).status_code == 200
            assert client.post("/v2/repository/index").json()[0]["state"] == "READY"
        assert Counter(one.result(PATIENCE) for one in loads) == {200: 16, 429: CALLERS - 16}
        assert load(server) == 200


def test_a_folder_that_hangs_does_not_keep_the_server_from_ending(tmp_path: Path) -> None:
    write_model(tmp_path)
    settings = ServerSettings(
        models=tmp_path, http_port=0, grpc_port=0, threads=1, model_poll_seconds=0.01, shutdown_seconds=0.2
    )
    running = RunningServer(settings)
    with held(running), ThreadPoolExecutor(1) as pool:
        time.sleep(0.05)  # the watcher waits, as all who look at the folder do
        waiting = pool.submit(httpx.post, running.http + LOAD, timeout=PATIENCE)
        wait_until(lambda: any(thread.name == "loads and unloads of models" for thread in threading.enumerate()))
        running.stop()
        with pytest.raises(httpx.HTTPError):
            waiting.result(PATIENCE)


def test_a_folder_that_does_not_answer_is_said_to(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    repository = server.server.simulator.repository
    monkeypatch.setattr("zdc_service.serving.inference.models._FOLDER_SECONDS", 0.1)
    monkeypatch.setattr(repository, "index", lambda: go_on.wait(PATIENCE))  # no file system here can be made to hang
    reply = httpx.post(f"{server.http}/v2/repository/index", timeout=PATIENCE)
    go_on.set()
    assert (reply.status_code, reply.json()) == (503, {"error": "the models folder could not be listed within 0.1 s"})
