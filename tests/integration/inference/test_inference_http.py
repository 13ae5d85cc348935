"""The Open Inference Protocol over HTTP on a real socket: requests that `tritonclient` does not send."""

import gzip
import re
import socket
import tracemalloc
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import orjson
import pytest
from helpers.callers.inference_requests import Arrays, http_body, http_outputs
from helpers.callers.raw_http import exchanged
from helpers.models.tiny_model import NOISE, some_particles
from helpers.servers.running_server import RunningServer
from helpers.waiting import wait_until
from zdc_detector.particles import Particles
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import OutOfRange, SimulationRequest

PARTICLES = some_particles(5)
TENSORS: Arrays = {"particles": PARTICLES.conditions, "pdg": PARTICLES.pdg}
INFER = "/v2/models/tiny/infer"


@pytest.fixture
def client(server: RunningServer) -> Any:
    with httpx.Client(base_url=server.http, timeout=60) as opened:
        yield opened


def post(client: httpx.Client, path: str = INFER, inputs: Arrays = TENSORS, **fields: Any) -> Any:
    body, headers = http_body(inputs, **fields)
    return client.post(path, content=body, headers=headers)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/tiny/ready", {"name": "tiny", "ready": True}),
        ("/v2/models/tiny/versions/1/ready", {"name": "tiny", "ready": True}),
    ],
)
def test_probes(client: httpx.Client, path: str, body: dict[str, Any]) -> None:
    reply = client.get(path)
    assert (reply.status_code, reply.json()) == (200, body)
    assert client.head(path).status_code == 200


def test_slashes_at_the_end_do_no_harm(client: httpx.Client) -> None:
    assert client.get("/v2/").json() == client.get("/v2").json()
    assert client.get("/v2/models/tiny/").json() == client.get("/v2/models/tiny").json()


@pytest.mark.parametrize(
    "path",
    [
        "//repository/models/strips/unload",
        "/repository//models/strips/unload",
        "/repository/models/strips//unload",
        "%2frepository/models/strips/unload",
        "/repository%2Fmodels/strips/unload",
        "/repository/models/strips%2funload",
        "/models//infer",
        "/models/tiny/versions//infer",
        "/./repository/models/strips/unload",
        "/Repository/models/strips/unload",
    ],
)
def test_a_path_that_a_proxy_may_read_differently_has_no_route(server: RunningServer, path: str) -> None:
    """A proxy that passes on all paths except ``/v2/repository``, and keeps repeated slashes."""
    head = f"POST /v2{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    (answer,) = exchanged(server, head.encode())  # no library that sends another path
    assert answer.status == 404
    assert server.server.simulator.repository.get("strips").card.name == "strips"


@pytest.mark.parametrize("binary", [False, True])
def test_server_timing_is_that_of_simulate(client: httpx.Client, binary: bool) -> None:
    timing = post(client, parameters={"binary_data_output": binary}).headers["Server-Timing"]
    assert re.sub(r"[0-9]+\.[0-9]{3}", "x", timing) == (
        "queue;dur=x, prepare;dur=x, model;dur=x, finish;dur=x, encode;dur=x"
    )


def test_a_version_in_the_path(client: httpx.Client, simulator: Simulator) -> None:
    reply = post(client, "/v2/models/tiny/versions/1/infer", parameters={"seed": 1, "binary_data_output": True})
    wanted = simulator.simulate(SimulationRequest(PARTICLES, seed=1, model="tiny", version=1))
    np.testing.assert_array_equal(http_outputs(reply)["response"], np.asarray(wanted.response))
    assert client.get("/v2/models/tiny/versions/1").json()["versions"] == ["1", "2"]


def test_curl_needs_nothing_but_json(client: httpx.Client) -> None:
    rows = [[1000.0004, 0, 0, 0, 0.1, 0, 1000, 939.565, 0]]
    body = {"inputs": [{"name": "particles", "datatype": "FP32", "shape": [1, 9], "data": rows}]}
    reply = client.post(INFER, json=body).json()
    assert reply["model_name"] == "tiny"
    assert [(one["name"], one["shape"]) for one in reply["outputs"]] == [
        ("response", [1, 44, 44]),
        ("channels", [1, 5]),
    ]
    response, channels = (np.array(one["data"]) for one in reply["outputs"])
    assert response.sum() == channels.sum() > 0
    assert 0 <= reply["parameters"]["seed"] < 2**53


def test_extrapolation_is_counted(client: httpx.Client, simulator: Simulator) -> None:
    far = some_particles(4)
    far.conditions[:2, 3] = 31.0
    parameters = {"seed": 1, "out_of_range": "extrapolate"}
    reply = post(client, inputs={"particles": far.conditions}, parameters=parameters).raise_for_status()
    assert reply.json()["parameters"] == {"seed": 1, "first_row": 0, "finish": "poisson", "extrapolated_vertex": 2}
    wanted = simulator.simulate(SimulationRequest(far, seed=1, out_of_range=OutOfRange.EXTRAPOLATE))
    np.testing.assert_array_equal(http_outputs(reply)["channels"], wanted.channels)


def test_extrapolation_is_not_for_other_species(client: httpx.Client) -> None:
    muon = Particles.from_columns({"pdg": [13], "px": [0.0], "py": [0.0], "pz": [1000.0]})
    inputs: Arrays = {"particles": muon.conditions, "pdg": muon.pdg}
    reply = post(client, inputs=inputs, parameters={"out_of_range": "extrapolate"})
    assert reply.status_code == 422
    assert "species: pdg 13 was not in the training set" in reply.json()["error"]


def test_a_large_request_and_a_large_answer(client: httpx.Client, simulator: Simulator) -> None:
    many = some_particles(3000)
    reply = post(client, inputs={"particles": many.conditions}, parameters={"seed": 1, "binary_data_output": True})
    wanted = simulator.simulate(SimulationRequest(many, seed=1))
    np.testing.assert_array_equal(http_outputs(reply)["response"], np.asarray(wanted.response))


def test_a_compressed_request(client: httpx.Client) -> None:
    body, headers = http_body(TENSORS, parameters={"seed": 1})
    plain = client.post(INFER, content=body, headers=headers)
    packed = client.post(INFER, content=gzip.compress(body), headers=headers | {"Content-Encoding": "gzip"})
    assert packed.json() == plain.json()


@pytest.mark.parametrize(
    ("path", "fields", "status", "text"),
    [
        (INFER, {"parameters": {"seed": 2**53}}, 422, "must be in [0, 2^53)"),
        (INFER, {"parameters": {"seed": 1, "sede": 1}}, 422, "parameter 'sede' is unknown"),
        (INFER, {"outputs": [{"name": "hits"}]}, 422, "tiny has no output 'hits'"),
        ("/v2/models/nope/infer", {}, 404, "model 'nope' is not loaded; loaded are strips, tiny"),
        ("/v2/models/tiny/versions/9/infer", {}, 404, "model 'tiny' has no version 9"),
        ("/v2/models/tiny/versions/x/infer", {}, 404, "there is no version 'x'"),
        (INFER, {"parameters": {"timeout": 1}}, 504, "deadline"),
    ],
)
def test_errors_have_the_protocols_form(
    client: httpx.Client, path: str, fields: dict[str, Any], status: int, text: str
) -> None:
    reply = post(client, path, **fields)
    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/json"
    assert list(reply.json()) == ["error"]
    assert text in reply.json()["error"]


def test_errors_name_the_particle(client: httpx.Client) -> None:
    wrong = PARTICLES.conditions.copy()
    wrong[3, 3] = 31
    reply = post(client, inputs={"particles": wrong})
    assert reply.status_code == 422
    assert reply.json()["error"].startswith("particle[3]: vertex: vz = ")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/nowhere"), ("GET", INFER), ("DELETE", "/v2"), ("POST", "/v2"), ("GET", "/v2/models"),
        ("GET", "/v2/models/tiny/versions"), ("POST", "/v2/repository/nowhere"), ("GET", "/v2/logging"),
    ],
)  # fmt: skip
def test_what_is_not_there(client: httpx.Client, method: str, path: str) -> None:
    reply = client.request(method, path)
    assert reply.status_code == 404
    assert reply.json()["error"].startswith(f"{method} {path} is not a route of the Open Inference Protocol")


def test_other_paths_are_not_found(client: httpx.Client) -> None:
    assert client.get("/v2x").json()["error"]["kind"] == "not_found"
    assert client.get("/models").status_code == 200


def test_too_large_bodies(client: httpx.Client) -> None:
    reply = client.post(INFER, content=b" " * (3000 * 512 + 1))
    assert reply.status_code == 413
    assert "the body has more than 1536000 bytes" in reply.json()["error"]


def test_too_many_particles(client: httpx.Client) -> None:
    reply = post(client, inputs={"particles": some_particles(3001).conditions})
    assert reply.status_code == 413
    assert "limit of 3000 rows" in reply.json()["error"]


def test_a_header_sets_a_deadline_too(client: httpx.Client) -> None:
    body, headers = http_body({"particles": some_particles(3000).conditions})
    reply = client.post(INFER, content=body, headers=headers | {"X-Zdc-Timeout-Ms": "0.001"})
    assert reply.status_code == 504


def test_requests_of_disconnected_clients_are_not_simulated(server: RunningServer) -> None:
    body, headers = http_body({"particles": some_particles(3000).conditions})
    head = {"Host": "localhost", "Content-Length": str(len(body)), **headers}
    lines = [f"POST {INFER} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
    before = counted(server, "cancelled")
    host, _, port = server.http.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall("\r\n".join(lines).encode() + body)
    wait_until(lambda: counted(server, "cancelled") > before)


def counted(server: RunningServer, kind: str) -> float:
    labels = {"protocol": "http_v2", "kind": kind}
    return server.server.simulator.instruments.registry.get_sample_value("zdc_requests_total", labels) or 0.0


def test_requests_are_counted(server: RunningServer, client: httpx.Client) -> None:
    kinds = ("ok", "invalid_input")
    before = [counted(server, kind) for kind in kinds]
    post(client)
    post(client, parameters={"x": 1})
    assert [counted(server, kind) for kind in kinds] == [count + 1 for count in before]


def test_noise_is_bounded_by_its_distribution(client: httpx.Client) -> None:
    noise = np.zeros((5, NOISE), dtype=np.float32)
    for value in (1000, -10.5, np.inf, np.nan):
        noise[3, 2] = value
        reply = post(client, inputs={**TENSORS, "noise": noise})
        assert reply.status_code == 422
        assert reply.json()["error"] == (
            f"particle[3]: noise[2] = {value:g} must be within +-10; noise is standard normal numbers"
        )
    noise[3, 2] = -10
    assert post(client, inputs={**TENSORS, "noise": noise}).status_code == 200


@pytest.mark.parametrize("version", ["0", "00", "01", "-1", "+1", "1.0", "1_0", " 1", "1 ", "1e0", "٣", "9" * 30])
def test_invalid_versions(client: httpx.Client, version: str) -> None:
    path = f"/v2/models/tiny/versions/{quote(version)}"
    for what in ("", "/ready", "/config", "/stats"):
        assert client.get(path + what).status_code == 404
    assert post(client, f"{path}/infer").status_code == 404
    assert client.get(f"/models/tiny/{quote(version)}").status_code == 404


@pytest.mark.parametrize("path", ["index", "models/tiny/load", "models/tiny/unload"])
def test_the_repository_takes_no_large_bodies(client: httpx.Client, path: str) -> None:
    reply = client.post(f"/v2/repository/{path}", content=b'{"parameters": ' + b"[" * 20_000)
    assert reply.status_code == 413
    assert reply.json()["error"] == "a request to the repository may have at most 16384 bytes"


def test_one_long_text_among_the_numbers_takes_no_memory(client: httpx.Client) -> None:
    """NumPy would allocate the length of the string for each number: 5000 x 20,000 x 4 bytes."""
    data: list[Any] = [0.0] * (555 * 9)
    data[-1] = "x" * 20_000
    body = {"inputs": [{"name": "particles", "datatype": "FP32", "shape": [555, 9], "data": data}]}
    tracemalloc.start()
    reply = client.post(INFER, json=body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert reply.status_code == 422
    assert reply.json()["error"].startswith("input particles: data[554][8] = 'xxx")
    assert peak < 10e6


def test_index_of_ready_models(client: httpx.Client) -> None:
    for body in (b"", b"{}", b'{"ready": true}'):
        entries = orjson.loads(client.post("/v2/repository/index", content=body).content)
        assert [(entry["name"], entry["version"]) for entry in entries] == [
            ("strips", "1"),
            ("tiny", "1"),
            ("tiny", "2"),
        ]
    assert client.post("/v2/repository/index", content=b"[").status_code == 422
