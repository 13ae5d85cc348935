"""HTTP on a real socket, as documented."""

import io
import json
import re
import socket
import time

import httpx
import numpy as np
import pytest
from helpers.servers.running_server import RunningServer
from helpers.waiting import wait_until
from zdc_service.serving.http.documented import SimulateReply
from zdc_service.serving.http.schema import EXAMPLES

NEUTRONS = {"particles": [{"pdg": 2112, "px": 0.1, "py": 0, "pz": s * 1500, "vz": 2.0} for s in (1, -1)], "seed": 7}


@pytest.fixture
def http(server: RunningServer) -> httpx.Client:
    return httpx.Client(base_url=server.http, timeout=60)


def post(http: httpx.Client, accept: str = "application/json", **changes: object) -> httpx.Response:
    with http:
        return http.post("/simulate", json=NEUTRONS | changes, headers={"Accept": accept})


def test_json(http: httpx.Client) -> None:
    reply = post(http)
    assert reply.status_code == 200
    body = reply.json()
    assert (body["model"], body["version"], body["seed"], body["shape"]) == ("tiny", 2, 7, [44, 44])
    assert body["channel_names"] == ["tower1", "tower2", "tower3", "tower4", "common"]
    assert (body["particle"], body["side"]) == ([0, 1], ["A", "C"])
    response = np.array(body["response"])
    assert response.shape == (2, 44, 44)
    assert response.sum() == np.sum(body["channels"]) > 0


@pytest.mark.parametrize("path", ["/simulate/", "/models/", "/docs/"])
def test_no_path_redirects(http: httpx.Client, path: str) -> None:
    """A redirect would use the Host header, and the scheme of the proxy instead of the client's."""
    with http:
        reply = http.request("POST" if path == "/simulate/" else "GET", path, json=NEUTRONS)
    assert (reply.status_code, reply.json()["error"]["kind"]) == (404, "not_found")
    assert path in reply.json()["error"]["message"]


def test_hits_are_the_sparse_form(http: httpx.Client) -> None:
    with http:
        dense, sparse = (http.post("/simulate", json=NEUTRONS | {"output": o}).json() for o in ("response", "hits"))
    image = np.zeros((2, 44 * 44), dtype=int)
    offsets = sparse["hits"]["offsets"]
    for row in range(2):
        entries = slice(offsets[row], offsets[row + 1])
        image[row, sparse["hits"]["fibre"][entries]] = sparse["hits"]["photons"][entries]
    np.testing.assert_array_equal(image.reshape(2, 44, 44), dense["response"])
    assert sparse["channels"] == dense["channels"]


def test_npz(http: httpx.Client) -> None:
    reply = post(http, accept="application/x-npz", repeats=3)
    assert reply.headers["content-type"] == "application/x-npz"
    with np.load(io.BytesIO(reply.content), allow_pickle=False) as arrays:
        assert arrays["response"].shape == (6, 44, 44)
        assert arrays["response"].dtype == np.uint16
        assert arrays["seed"] == 7
        assert arrays["side"].tolist() == [b"A"] * 3 + [b"C"] * 3


def test_raw_rates(http: httpx.Client) -> None:
    reply = post(http, accept="application/octet-stream", rates=True)
    assert reply.headers["X-Zdc-Arrays"] == "response;<f4;2,44,44"
    assert np.frombuffer(reply.content, dtype="<f4").reshape(2, 44, 44).any()


def test_server_timing_adds_up(http: httpx.Client) -> None:
    began = time.monotonic()
    reply = post(http, repeats=20)
    seconds = time.monotonic() - began
    stages = dict(re.findall(r"(\w+);dur=([0-9.]+)", reply.headers["Server-Timing"]))
    assert list(stages) == ["queue", "prepare", "model", "finish", "encode"]
    # 40 rows pass as two batches, each on its own core.
    assert 0 < sum(map(float, stages.values())) / 1e3 < 2 * seconds
    assert float(stages["model"]) > 0


def test_skipped_and_extrapolated_are_counted(http: httpx.Client) -> None:
    particles = [*NEUTRONS["particles"], {"pdg": 13, "px": 0, "py": 0, "pz": 100}]  # type: ignore[misc]
    with http:
        skipped = http.post("/simulate", json={"particles": particles, "out_of_range": "skip"}).json()
        known = [*NEUTRONS["particles"], {"pdg": 2112, "px": 0, "py": 0, "pz": 5000}]  # type: ignore[misc]
        extrapolated = http.post("/simulate", json={"particles": known, "out_of_range": "extrapolate"}).json()
        refused = http.post("/simulate", json={"particles": particles[:3], "out_of_range": "extrapolate"})
    assert (skipped["skipped"], skipped["particle"]) == ({"species": 1}, [0, 1])
    assert (extrapolated["extrapolated"], extrapolated["particle"]) == ({"energy": 1}, [0, 1, 2])
    assert (refused.status_code, refused.json()["error"]["kind"]) == (422, "out_of_range")
    assert "no setting simulates another species" in refused.json()["error"]["message"]


@pytest.mark.parametrize("name", ["energy", "x", "y"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e300", "-1e300", "1e-320"])
def test_examples_are_looked_up_by_numbers_of_this_world(http: httpx.Client, name: str, value: str) -> None:
    """Division by a denormal energy gives infinity, which JSON cannot represent."""
    asked = {"pdg": "2112", "energy": "1000", "x": "0", "y": "0"}
    with http:
        reply = http.get("/examples/nearest", params=asked | {name: value})
    if value == "1e-320" and name != "energy":
        assert reply.status_code == 200
    else:
        assert (reply.status_code, reply.json()["error"]["kind"]) == (422, "invalid_input")
        assert f"query.{name}: " in reply.json()["error"]["message"]


def test_models_and_cards(http: httpx.Client) -> None:
    with http:
        models = http.get("/models").json()
        card = http.get("/models/strips/1").json()
    assert [(m["name"], m["version"], m["default"]) for m in models] == [
        ("strips", 1, False), ("tiny", 1, True), ("tiny", 2, True),
    ]  # fmt: skip
    assert models[0]["shape"] == [8, 6]
    assert models[1]["species"][0] == {"pdg": 2112, "name": "n", "energy": [50.0, 2600.0]}
    assert card["takes_pdg"] is True
    assert len(card["graph_sha256"]) == 64


def test_probes_and_documentation(http: httpx.Client) -> None:
    with http:
        assert http.get("/livez").json() == {"status": "alive"}
        assert http.get("/readyz").json() == {"status": "ready"}
        page = http.get("/docs").text
        needed = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert any("swagger" in url for url in needed)
        # A cluster without the internet can read it: everything that the page loads comes from the server.
        assert [http.get(url).status_code for url in needed] == [200] * len(needed)
        assert all(url.startswith("/") for url in needed)
        paths = http.get("/openapi.json").json()["paths"]
    assert set(paths["/metrics"]["get"]["responses"]["200"]["content"]) == {"text/plain"}
    assert all("head" not in operations for operations in paths.values())
    operation = paths["/simulate"]["post"]
    for described in (operation, paths["/models/{name}/{version}"]["get"]):
        error = described["responses"]["422"]["content"]["application/json"]["schema"]
        assert error == {"$ref": "#/components/schemas/ErrorReply"}
    body = operation["requestBody"]["content"]["application/json"]
    assert body["examples"] == EXAMPLES
    schema = body["schema"]
    assert {"particles", "seed", "repeats", "output", "first_row", "model", "version", "out_of_range"} <= set(
        schema["properties"]
    )
    answers = operation["responses"]["200"]["content"]
    assert answers["application/json"]["schema"] == {"$ref": "#/components/schemas/SimulateReply"}
    assert set(answers) == {
        "application/json", "application/x-npz", "application/x-npy", "application/octet-stream",
        "application/x-zdc-arrays",
    }  # fmt: skip


@pytest.mark.parametrize("example", EXAMPLES)
@pytest.mark.parametrize("output", ["response", "channels", "hits"])
@pytest.mark.parametrize("rates", [False, True])
def test_answers_are_as_documented(http: httpx.Client, example: str, output: str, rates: bool) -> None:
    with http:
        reply = http.post("/simulate", json=EXAMPLES[example]["value"] | {"output": output, "rates": rates})
    assert reply.status_code == 200
    body = SimulateReply.model_validate_json(reply.content, strict=True)
    documented = set(SimulateReply.model_fields) - ({"response", "hits"} - {output})
    assert set(reply.json()) == documented
    assert body.finish == ("none" if rates else "poisson")
    assert len(body.channels) == len(body.particle) == len(body.side)


PATHS = (
    "/", "/livez", "/readyz", "/metrics", "/models", "/models/tiny/1", "/about", "/docs", "/openapi.json", "/README.md",
    "/examples/nearest?pdg=2112&energy=1000&x=0&y=0", "/models/nope/1", "/nothing", "/simulate", "/v2",
    "/v2/models/tiny",
)  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_head_answers_as_get_without_the_body(http: httpx.Client, path: str) -> None:
    with http:
        got, head = http.get(path), http.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    if path != "/metrics":
        assert head.headers["content-length"] == got.headers["content-length"]


def sample(text: str, line: str) -> float:
    return next((float(found.rsplit(" ", 1)[1]) for found in text.splitlines() if found.startswith(line)), 0.0)


def test_metrics_count_what_happened(http: httpx.Client) -> None:
    with http:
        before = http.get("/metrics").text
        assert http.post("/simulate", json=NEUTRONS | {"repeats": 50}).status_code == 200
        assert http.post("/simulate", json=NEUTRONS | {"seed": -1}).status_code == 422
        assert http.post("/simulate", json=NEUTRONS | {"model": "nope"}).status_code == 404
        reply = http.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = reply.text
    for line, more in (
        ('zdc_requests_total{kind="ok",protocol="http"}', 1),
        ('zdc_requests_total{kind="invalid_input",protocol="http"}', 1),
        ('zdc_requests_total{kind="model_not_found",protocol="http"}', 1),
        ('zdc_rows_total{model="tiny",version="2"}', 100),
        ('zdc_batch_rows_sum{model="tiny",version="2"}', 100),
        ("zdc_queue_seconds_count", 1),
        ('zdc_encode_seconds_count{protocol="http"}', 1),
    ):
        assert sample(text, line) - sample(before, line) == more, line
    for stage in ("prepare", "model", "finish"):
        line = f'zdc_stage_seconds_total{{model="tiny",stage="{stage}",version="2"}}'
        assert sample(text, line) > sample(before, line)
    assert sample(text, "zdc_queue_rows ") == 0
    (info,) = [line for line in text.splitlines() if line.startswith("zdc_model_info") and 'model="strips"' in line]
    assert 'provider="CPUExecutionProvider"' in info
    assert info.endswith(" 1.0")


def cancelled(server: RunningServer) -> float:
    count = {"protocol": "http", "kind": "cancelled"}
    return server.server.simulator.instruments.registry.get_sample_value("zdc_requests_total", count) or 0.0


def test_a_client_that_disconnects_is_dropped_from_the_queue(server: RunningServer) -> None:
    simulator = server.server.simulator
    body = json.dumps(NEUTRONS | {"repeats": 1500}).encode()
    head = f"POST /simulate HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    before = cancelled(server)
    with socket.create_connection(("127.0.0.1", server.server.http_port)) as connection:
        connection.sendall(head + body)
        wait_until(lambda: simulator.instruments.registry.get_sample_value("zdc_queue_rows") != 0)
    wait_until(lambda: cancelled(server) == before + 1)
    wait_until(lambda: simulator.instruments.registry.get_sample_value("zdc_queue_rows") == 0)


def test_a_client_that_disconnects_within_the_body_is_no_error(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    before = cancelled(server)
    with socket.create_connection(("127.0.0.1", server.server.http_port)) as connection:
        connection.sendall(b'POST /simulate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"particles": ')
    wait_until(lambda: cancelled(server) == before + 1)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
