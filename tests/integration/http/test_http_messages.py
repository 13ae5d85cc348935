"""Errors repeat at most 100 characters of any part of a request."""

import json
from typing import Any

import httpx
import pytest
from helpers.servers.running_server import RunningServer

LONG = "Q" * 5000
PARTICLE: dict[str, Any] = {"pdg": 2112, "px": 0, "py": 0, "pz": 1000}
TENSOR: dict[str, Any] = {"name": "particles", "datatype": "FP32", "shape": [1, 9], "data": [0.0] * 9}
ROWS = "application/octet-stream"


def simulate(body: Any, **headers: str) -> dict[str, Any]:
    return {"method": "POST", "url": "/simulate", "json": body, "headers": headers}


def infer(**changes: Any) -> dict[str, Any]:
    return {"method": "POST", "url": "/v2/models/tiny/infer", "json": {"inputs": [TENSOR], **changes}}


REQUESTS: dict[str, dict[str, Any]] = {
    "path": {"url": f"/{LONG}"},
    "model": {"url": f"/models/{LONG}/1"},
    "version": {"url": f"/models/tiny/{LONG}"},
    "digits": {"url": f"/models/tiny/{'7' * 5000}"},
    "example": {"url": f"/examples/nearest?pdg={LONG}&energy=1&x=0&y=0"},
    "example's digits": {"url": f"/examples/nearest?pdg={'7' * 5000}&energy=1&x=0&y=0"},
    "host": {"url": "/models", "headers": {"Host": LONG}},
    "origin": simulate({}, Origin=f"http://{LONG}"),
    "form": {"method": "POST", "url": "/simulate", "content": b"", "headers": {"Content-Type": f"text/plain; {LONG}"}},
    "media type": {"method": "POST", "url": "/simulate", "content": b"", "headers": {"Content-Type": LONG}},
    "coding": simulate({}, **{"Content-Encoding": LONG}),
    "accept": simulate({"particles": [PARTICLE]}, Accept=LONG),
    "accepted type": simulate({"particles": [PARTICLE]}, Accept=f"application/x-npy;dtype={LONG}"),
    "timeout": simulate({"particles": [PARTICLE]}, **{"X-Zdc-Timeout-Ms": LONG}),
    "timeout's digits": simulate({"particles": [PARTICLE]}, **{"X-Zdc-Timeout-Ms": "7" * 5000}),
    "query of json": {"method": "POST", "url": f"/simulate?{LONG}", "json": {}},
    "query": {"method": "POST", "url": f"/simulate?{LONG}", "content": b"", "headers": {"Content-Type": ROWS}},
    "name in query": {
        "method": "POST", "url": f"/simulate?{LONG}=1", "content": b"", "headers": {"Content-Type": ROWS},
    },
    "value in query": {
        "method": "POST", "url": f"/simulate?seed={LONG}", "content": b"", "headers": {"Content-Type": ROWS},
    },
    "columns": {
        "method": "POST", "url": f"/simulate?columns={LONG}", "content": b"1234", "headers": {"Content-Type": ROWS},
    },
    "many columns": {
        "method": "POST", "url": f"/simulate?columns={'Q,' * 2500}", "content": b"1", "headers": {"Content-Type": ROWS},
    },
    "member": simulate({"particles": [], LONG: 1}),
    "option": simulate({"particles": [], "output": LONG}),
    "options": simulate({"particles": [], "seed": [LONG] * 100}),
    "body": simulate([LONG] * 100),
    "model of a body": simulate({"particles": [PARTICLE], "model": LONG}),
    "particles": simulate({"particles": LONG}),
    "particle": simulate({"particles": [[LONG] * 100]}),
    "particle's member": simulate({"particles": [PARTICLE | {LONG: 1}]}),
    "particle's value": simulate({"particles": [PARTICLE | {"px": {LONG: LONG}}]}),
    "column": simulate({"particles": {LONG: [1]}}),
    "column's value": simulate({"particles": {"pdg": LONG}}),
    "column of texts": simulate({"particles": {"pdg": [LONG]}}),
    "code": simulate({"particles": [PARTICLE | {"pdg": 10**18}]}),
    "v2 path": {"url": f"/v2/{LONG}"},
    "v2 model": {"url": f"/v2/models/{LONG}"},
    "v2 version": {"url": f"/v2/models/tiny/versions/{LONG}"},
    "v2 member": infer(**{LONG: 1}),
    "v2 id": infer(id=[LONG]),
    "v2 parameter": infer(parameters={LONG: 1}),
    "v2 value": infer(parameters={"seed": LONG}),
    "v2 input": infer(inputs=[TENSOR | {"name": LONG}]),
    "v2 datatype": infer(inputs=[TENSOR | {"datatype": LONG}]),
    "v2 shape": infer(inputs=[TENSOR | {"shape": [LONG] * 100}]),
    "v2 element": infer(inputs=[TENSOR | {"data": [LONG] * 9}]),
    "v2 output": infer(outputs=[{"name": LONG}]),
    "v2 load": {"method": "POST", "url": f"/v2/repository/models/{LONG}/load"},
    "v2 unload": {"method": "POST", "url": f"/v2/repository/models/{LONG}/unload"},
    "v2 load's member": {"method": "POST", "url": "/v2/repository/models/nothing/load", "json": {LONG: 1}},
    "v2 load's parameter": {
        "method": "POST", "url": "/v2/repository/models/nothing/load", "json": {"parameters": {LONG: 1}},
    },
}  # fmt: skip


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_errors_repeat_little_of_the_request(server: RunningServer, request_: dict[str, Any]) -> None:
    with httpx.Client(base_url=server.http, verify=False, timeout=60) as http:
        reply = http.request(**{"method": "GET"} | request_)
    assert 400 <= reply.status_code < 500
    error = json.loads(reply.content)["error"]
    text = error if isinstance(error, str) else error["message"]
    assert max(text.count("Q"), text.count("7")) <= 100
    assert len(text) < 800
