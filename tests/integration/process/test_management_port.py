"""Probes and metrics on a separate port."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from helpers.servers.running_server import RunningServer
from zdc_common.errors import ConfigError
from zdc_service.serving.server import Server
from zdc_service.settings import ServerSettings


@pytest.fixture(scope="module")
def managed(models_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    tokens = tmp_path_factory.mktemp("tokens") / "tokens"
    tokens.write_text("alice-0123456789abcdef\n")
    settings = ServerSettings(
        models=models_folder, default_model="tiny", http_port=0, grpc_port=0, threads=1, token_files=[tokens],
        management_port=0, management_host="127.0.0.1",
    )  # fmt: skip
    running = RunningServer(settings)
    yield running
    running.stop()


def test_it_needs_no_token_and_has_nothing_else(managed: RunningServer) -> None:
    base = f"http://127.0.0.1:{managed.server.management_port}"
    assert httpx.get(f"{base}/livez").json() == {"status": "alive"}
    assert httpx.get(f"{base}/readyz").json() == {"status": "ready"}
    assert "zdc_queue_rows" in httpx.get(f"{base}/metrics").text
    for path in ("/simulate", "/models", "/docs", "/openapi.json", "/v2", "/"):
        reply = httpx.get(base + path)
        assert reply.status_code == 404
        assert "this port serves only /livez, /readyz and /metrics" in reply.json()["error"]["message"]


def test_metrics_leave_the_main_port_and_probes_stay(managed: RunningServer) -> None:
    token = {"Authorization": "Bearer alice-0123456789abcdef"}
    assert httpx.get(f"{managed.http}/metrics", headers=token).status_code == 404
    assert httpx.get(f"{managed.http}/readyz").status_code == 200


def test_a_taken_port_is_named(models_folder: Path, managed: RunningServer) -> None:
    port = managed.server.management_port
    settings = ServerSettings(models=models_folder, http_port=0, grpc_port=0, management_port=port)
    with pytest.raises(ConfigError, match=f"--management-port {port} on 127.0.0.1: .*; is another server running"):
        Server(settings)
    settings = ServerSettings(
        models=models_folder, http_port=0, grpc_port=0, management_port=0, management_host="203.0.113.7"
    )
    with pytest.raises(ConfigError, match="--management-host must be an address of this machine"):
        Server(settings)
