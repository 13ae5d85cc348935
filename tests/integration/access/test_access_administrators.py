"""Permission to load and unload models, over both protocols."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from helpers.servers.running_server import RunningServer
from zdc_service.messages import inference_pb2 as pb
from zdc_service.settings import ServerSettings
from zdc_service.status import GRPC_KIND_KEY

CALLER, OPERATOR = "caller-0123456789abcdef", "operator-0123456789abcdef"
BODY = {"particles": [{"pdg": 2112, "px": 0, "py": 0, "pz": 1000}], "output": "channels"}


@pytest.fixture(params=[True, False], ids=["callers have tokens", "callers have none"])
def managed(request: pytest.FixtureRequest, models_folder: Path, tmp_path: Path) -> Iterator[RunningServer]:
    (tmp_path / "callers").write_text(f"{CALLER}\n")
    (tmp_path / "operators").write_text(f"{OPERATOR}\n")
    settings = ServerSettings(
        models=models_folder, default_model="tiny", http_port=0, grpc_port=0, threads=1,
        token_files=[tmp_path / "callers"] if request.param else [],
        admin_token_files=[tmp_path / "operators"],
    )  # fmt: skip
    running = RunningServer(settings)
    yield running
    running.stop()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_only_administrators_load_and_unload_over_http(managed: RunningServer) -> None:
    with httpx.Client(base_url=managed.http) as client:
        for action in ("unload", "load"):
            path = f"/v2/repository/models/strips/{action}"
            refused = client.post(path, headers=bearer(CALLER))
            assert refused.status_code == 403
            assert "needs a token of --admin-token-files" in refused.json()["error"]
            assert client.get("/v2/models/strips/ready", headers=bearer(OPERATOR)).status_code == 200
        assert client.post("/v2/repository/models/strips/unload", headers=bearer(OPERATOR)).status_code == 200
        assert client.get("/v2/models/strips/ready", headers=bearer(CALLER)).status_code == 404
        assert client.post("/v2/repository/models/strips/load", headers=bearer(OPERATOR)).status_code == 200
        for token in (CALLER, OPERATOR):
            assert client.post("/simulate", json=BODY, headers=bearer(token)).status_code == 200
            assert client.post("/v2/repository/index", headers=bearer(token)).status_code == 200


def test_only_administrators_load_and_unload_over_grpc(managed: RunningServer) -> None:
    def call(action: str, token: str) -> None:
        request = getattr(pb, f"RepositoryModel{action}Request")
        method = channel.unary_unary(
            f"/inference.GRPCInferenceService/RepositoryModel{action}",
            request.SerializeToString,
            getattr(pb, f"RepositoryModel{action}Response").FromString,
        )
        method(request(model_name="strips"), metadata=(("authorization", f"Bearer {token}"),), timeout=60)

    with grpc.insecure_channel(managed.grpc) as channel:
        for action in ("Unload", "Load"):
            with pytest.raises(grpc.RpcError) as caught:
                call(action, CALLER)
            error = caught.value
            assert isinstance(error, grpc.Call)
            assert error.code() is grpc.StatusCode.PERMISSION_DENIED
            assert dict(error.trailing_metadata() or ())[GRPC_KIND_KEY] == "forbidden"
            call(action, OPERATOR)


def test_without_an_administrator_token_models_stay(managed: RunningServer) -> None:
    refused = httpx.post(f"{managed.http}/v2/repository/models/strips/unload")
    assert refused.status_code in (401, 403)  # whether callers need one at all
    for path in ("//v2/repository/models/strips/unload", "/v2//repository/models/strips/unload"):
        assert httpx.post(managed.http + path, headers=bearer(CALLER)).status_code in (403, 404)
    ready = httpx.get(f"{managed.http}/v2/models/strips/ready", headers=bearer(CALLER))
    assert ready.status_code == 200
