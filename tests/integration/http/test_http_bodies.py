"""Bodies of `POST /simulate`: media types, rows of numbers, codings, and the errors of invalid bodies."""

import gzip
import json
import re
import zlib
from collections.abc import Callable

import httpx
import numpy as np
import pytest
import zstandard
from helpers.servers.running_server import RunningServer

NEUTRONS = {"particles": [{"pdg": 2112, "px": 0.1, "py": 0, "pz": s * 1500, "vz": 2.0} for s in (1, -1)], "seed": 7}


@pytest.fixture
def http(server: RunningServer) -> httpx.Client:
    return httpx.Client(base_url=server.http, timeout=60)


@pytest.mark.parametrize("kind", [None, "application/json; charset=utf-8", "application/vnd.particles+json"])
def test_json_by_its_names(http: httpx.Client, kind: str | None) -> None:
    with http:
        named = {} if kind is None else {"Content-Type": kind}
        reply = http.post("/simulate", content=json.dumps(NEUTRONS), headers=named)
    assert reply.status_code == 200


@pytest.mark.parametrize("kind", ["application/x-npz", "application/zip", "text/csv", "image/png"])
def test_other_media_types_are_named(http: httpx.Client, kind: str) -> None:
    with http:
        reply = http.post("/simulate", content=b"PK", headers={"Content-Type": kind})
    error = reply.json()["error"]
    assert (reply.status_code, error["kind"]) == (415, "unsupported_media_type")
    assert error["message"] == (
        f"Content-Type '{kind}' is not supported by /simulate; send application/json, application/octet-stream, "
        "application/x-npy"
    )


def test_a_json_body_takes_no_query(http: httpx.Client) -> None:
    with http:
        reply = http.post("/simulate?seed=9", json=NEUTRONS)
    assert reply.status_code == 422
    assert "query 'seed=9': put the options of a JSON request into its object" in reply.json()["error"]["message"]


NEUTRON_ROW = np.array([[2112, 0.1, 0, 1500, 0, 0, 2.0]], dtype="<f4")


def rows_with(column: int, value: float) -> bytes:
    rows = NEUTRON_ROW.copy()
    rows[0, column] = value
    return rows.tobytes()


def post_rows(http: httpx.Client, content: bytes, **headers: str) -> httpx.Response:
    with http:
        rows = {"Content-Type": "application/octet-stream", **{k.replace("_", "-"): v for k, v in headers.items()}}
        return http.post("/simulate?seed=7&output=channels", content=content, headers=rows)


@pytest.mark.parametrize(
    ("content", "query", "message"),
    [
        (b"", "", "no particles; send at least one"),
        (bytes(27), "", r"the body has 27 bytes; one particle \(pdg,px,py,pz,vx,vy,vz\) takes 7 float32 numbers, 28"),
        (NEUTRON_ROW.tobytes(), "repeats=x", "repeats = 'x' must be an integer in plain digits"),
        (NEUTRON_ROW.tobytes(), "sed=1", "sed: unknown; a request has seed, first_row"),
        (NEUTRON_ROW.tobytes(), "seed=1&seed=2", "seed: given more than once"),
        (NEUTRON_ROW.tobytes(), "seed", "write name=value&name=value"),
        (NEUTRON_ROW.tobytes(), "columns=pdg,px,py,pz,vx,vy,vy", "names a column twice"),
        (NEUTRON_ROW.tobytes(), "columns=pdg,px,py,pz,vx,vy,speed", r"unknown columns \['speed'\]"),
        (rows_with(0, 2112.5), "", r"pdg = 2112.5 must be an integer"),
        (rows_with(0, 3168), "", "pdg 3168 is not in the PDG table"),
        (rows_with(0, 1000010020), "", r"particle\[0\]: pdg = 1000010048 is beyond 2\^24, where float32 rounds"),
        (rows_with(3, 0), "", r"particle\[0\]: pz = 0 GeV/c must not be 0"),
    ],
)  # fmt: skip
def test_wrong_rows_are_explained(http: httpx.Client, content: bytes, query: str, message: str) -> None:
    with http:
        rows = {"Content-Type": "application/octet-stream"}
        reply = http.post(f"/simulate?{query}", content=content, headers=rows)
    assert reply.status_code == 422
    assert re.search(message, reply.json()["error"]["message"])


def test_other_columns_in_another_order(http: httpx.Client) -> None:
    columns = "pz,pdg,vz,px,py"
    rows = NEUTRON_ROW[:, [3, 0, 6, 1, 2]].tobytes()
    with http:
        kind = {"Content-Type": "application/octet-stream", "Accept": "application/octet-stream"}
        usual = http.post("/simulate?seed=7", content=NEUTRON_ROW.tobytes(), headers=kind).content
        other = http.post(f"/simulate?seed=7&columns={columns}", content=rows, headers=kind).content
    assert usual == other


def test_invalid_npy_and_zstd_bodies_are_explained(http: httpx.Client) -> None:
    with http:
        npy = http.post("/simulate", content=b"rubbish", headers={"Content-Type": "application/x-npy"})
        packed = {"Content-Type": "application/octet-stream", "Content-Encoding": "zstd"}
        zstd = http.post("/simulate", content=b"rubbish", headers=packed)
        bomb = http.post("/simulate", content=zstandard.compress(bytes(30_000_000)), headers=packed)
    assert (npy.status_code, zstd.status_code, bomb.status_code) == (422, 422, 413)
    assert "the body is not an npy file" in npy.json()["error"]["message"]
    assert "the body must be one complete Zstandard frame" in zstd.json()["error"]["message"]
    assert "the decompressed body has more than" in bomb.json()["error"]["message"]


def test_late_answers_are_504(http: httpx.Client) -> None:
    reply = post_rows(http, np.repeat(NEUTRON_ROW, 1500, axis=0).tobytes(), X_Zdc_Timeout_Ms="0.001")
    assert reply.status_code == 504
    assert reply.json()["error"]["kind"] == "deadline"


@pytest.mark.parametrize("coding", ["zstd", "gzip", "deflate"])
@pytest.mark.parametrize("path", ["/simulate", "/v2/models/tiny/infer"])
def test_incomplete_compressed_bodies_are_refused(http: httpx.Client, coding: str, path: str) -> None:
    """A truncated body may also end exactly between two particles."""
    packers: dict[str, Callable[[bytes], bytes]] = {
        "zstd": zstandard.compress, "gzip": gzip.compress, "deflate": zlib.compress,
    }  # fmt: skip
    pack = packers[coding]
    rows = np.repeat([[1500.0003, 0, 0, 2.0, 0.1, 0, 1500, 939.5654, 0]], 20, axis=0).astype("<f4")
    kind = {"Content-Type": "application/octet-stream", "Content-Encoding": coding}
    if path == "/simulate":
        plain = np.repeat(NEUTRON_ROW, 20, axis=0).tobytes()
    else:
        tensor = {"name": "particles", "datatype": "FP32", "shape": [20, 9], "data": rows.ravel().tolist()}
        plain = json.dumps({"inputs": [tensor], "outputs": [{"name": "channels"}]}).encode()
    packed = pack(plain)
    broken = (packed[:-1], packed[: len(packed) // 2], packed + packed, packed + b"x", packed[:3], b"", plain)
    with http:
        assert http.post(path, content=packed, headers=kind).status_code == 200
        for body in broken:
            reply = http.post(path, content=body, headers=kind)
            assert reply.status_code == 422
            assert "the body" in reply.text
        unknown = http.post(path, content=packed, headers=kind | {"Content-Encoding": "br"})
        bomb = http.post(path, content=pack(bytes(30_000_000)), headers=kind)
    assert unknown.status_code == 415
    assert "Content-Encoding 'br' is not supported; send zstd, gzip or deflate" in unknown.text
    assert bomb.status_code == 413
    assert "the decompressed body has more than" in bomb.text
