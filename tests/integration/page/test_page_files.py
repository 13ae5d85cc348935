"""The page's files and routes over HTTP; `test_page.py` opens the page in a browser."""

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from helpers.calorimeters import ZN
from helpers.servers.running_server import RunningServer
from helpers.waiting import wait_until
from zdc_detector.pdg_table import mass_and_charge
from zdc_service.serving.examples import shipped_examples
from zdc_service.serving.http.page import PAGE_PATHS, NearestReply
from zdc_service.settings import ServerSettings

FOLDER = Path(__file__).parents[3] / "service" / "zdc_service" / "page"
TOKEN = "alice-0123456789abcdef"


@pytest.fixture(scope="module")
def guarded(models_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    tokens = tmp_path_factory.mktemp("tokens") / "tokens"
    tokens.write_text(f"{TOKEN}\n")
    settings = ServerSettings(
        models=models_folder, default_model="tiny", http_port=0, grpc_port=0, threads=1, token_files=[tokens],
        max_connections=4, management_port=0,
    )  # fmt: skip
    running = RunningServer(settings)
    yield running
    running.stop()


@pytest.mark.parametrize("path", sorted(PAGE_PATHS))
def test_files_come_with_headers_that_keep_others_out(server: RunningServer, path: str) -> None:
    reply = httpx.get(server.http + path)
    assert reply.status_code == 200
    policy = reply.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Cache-Control"] == "no-cache"
    again = httpx.get(server.http + path, headers={"If-None-Match": f'"other", W/{reply.headers["ETag"]}'})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", reply.headers["ETag"])
    assert httpx.get(server.http + path, headers={"If-None-Match": '"other"'}).content == reply.content
    head = httpx.head(server.http + path)
    assert (head.status_code, head.content, head.headers["ETag"]) == (200, b"", reply.headers["ETag"])
    assert httpx.post(server.http + path).status_code == 405


def test_every_file_of_the_folder_is_served_as_it_is(server: RunningServer) -> None:
    kinds = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
    for file in FOLDER.iterdir():
        reply = httpx.get(server.http + ("/" if file.name == "index.html" else f"/page/{file.name}"))
        assert reply.content == file.read_bytes()
        assert reply.headers["Content-Type"].startswith(kinds[file.suffix])
    for path in ("/page", "/page/", "/page/index.html", "/page/../py.typed", "/page/%2e%2e/py.typed"):
        assert httpx.get(server.http + path, follow_redirects=True).status_code == 404


def test_the_page_has_no_inline_code_and_loads_only_its_own_files() -> None:
    page = (FOLDER / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", page) == []
    for file in FOLDER.iterdir():
        hosts = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", file.read_text())) - {"http://www.w3.org"}
        assert not hosts, file
        assert len(file.read_text().splitlines()) < 300, file
        assert file.suffix == ".html" or "44" not in re.findall(r"\b\d+\b", file.read_text()), file


def test_the_page_needs_no_token_but_its_requests_do(guarded: RunningServer) -> None:
    for path in PAGE_PATHS:
        assert httpx.get(guarded.http + path).status_code == 200
    for path in ("/about", "/models", "/examples/nearest", "/docs", "/page", "/page/", "//", "/page/nothing.js"):
        assert httpx.get(guarded.http + path).status_code == 401
    about = httpx.get(f"{guarded.http}/about", headers={"Authorization": f"Bearer {TOKEN}"}).json()
    assert about["metrics"] is False
    assert about["grpc_port"] == guarded.server.grpc_port


def test_the_page_is_refused_above_the_maximum_of_connections(guarded: RunningServer) -> None:
    with ExitStack() as opened:
        for _ in range(4):
            opened.enter_context(socket.create_connection(("127.0.0.1", guarded.server.http_port)))
        wait_until(lambda: httpx.get(guarded.http).status_code == 503)  # once all have been accepted
        assert httpx.get(f"{guarded.http}/livez").status_code == 200


def test_about(server: RunningServer) -> None:
    about = httpx.get(f"{server.http}/about").json()
    assert about["grpc_port"] == server.server.grpc_port
    assert about["metrics"] is True
    assert about["masses"] == {str(pdg): mass_and_charge(pdg)[0] for pdg in (2112, 22, 310)}
    assert set(about["charges"].values()) == {0}


def nearest(server: RunningServer, **query: str | float) -> NearestReply:
    reply = httpx.get(f"{server.http}/examples/nearest", params=query)
    assert reply.status_code == 200, reply.text
    return NearestReply.model_validate_json(reply.content, strict=True)


@pytest.mark.parametrize(
    ("pdg", "energy", "x", "y"), [(2112, 930.0, 0.4, 0.3), (22, 100.0, -3.0, 2.0), (310, 60.0, 3, -3)]
)
def test_the_nearest_example(server: RunningServer, pdg: int, energy: float, x: float, y: float) -> None:
    reply = nearest(server, pdg=pdg, energy=energy, x=x, y=y)
    found = shipped_examples().nearest(pdg, energy, (x, y))
    assert found is not None
    assert reply.near == found.near
    example = reply.example
    assert example is not None
    assert (example.energy, example.x, example.y) == (found.energy, *found.point)
    assert (example.turn, example.distance_cm, example.energy_ratio) == (
        found.turn,
        found.distance_cm,
        found.energy_ratio,
    )
    assert example.channels == ZN.channel_sums(found.responses).tolist()  # of the turned image, never turned themselves
    assert len(example.hits.offsets) == 6
    for row, response in enumerate(found.responses.reshape(5, -1)):
        of_row = slice(example.hits.offsets[row], example.hits.offsets[row + 1])
        assert example.hits.fibre[of_row] == response.nonzero()[0].tolist()
        assert example.hits.photons[of_row] == response[response > 0].tolist()
    assert "simulated with Geant4" in reply.source


def test_there_is_none_of_other_species_and_faces(server: RunningServer) -> None:
    for query in ({"pdg": 13}, {"pdg": 2112, "calorimeter": "STRIPS"}):
        reply = nearest(server, energy=100.0, x=0, y=0, **query)
        assert (reply.near, reply.example) == (False, None)


@pytest.mark.parametrize(("name", "value"), [("energy", "0"), ("energy", "inf"), ("x", "nan"), ("pdg", "n"), ("y", "")])
def test_wrong_queries_name_the_number(server: RunningServer, name: str, value: str) -> None:
    query = {"pdg": "22", "energy": "100", "x": "0", "y": "0"} | {name: value}
    reply = httpx.get(f"{server.http}/examples/nearest", params=query)
    assert reply.status_code == 422
    assert reply.json()["error"]["message"].startswith(f"query.{name}: ")


def test_documentation_and_page_lead_to_each_other(server: RunningServer) -> None:
    assert "(/)" in httpx.get(f"{server.http}/openapi.json").json()["info"]["description"]
    assert {"docs", "metrics", "README.md"} <= set(re.findall(r'href="([^"]+)"', httpx.get(server.http).text))
