"""Requests of web pages through a visitor's browser: the server's page, other sites, other host names."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from helpers.servers.running_server import RunningServer, running

if TYPE_CHECKING:
    from playwright.sync_api import Browser

BODY = {"particles": [{"pdg": 2112, "px": 0, "py": 0, "pz": 1000}], "seed": 1, "output": "channels"}
PAGE = "https://page.example"
UNLOAD = "/v2/repository/models/nothing/unload"


#: Without the system's authorities, which take longer to read than all these requests.
http = httpx.Client(verify=False)


@pytest.fixture(scope="module", autouse=True)
def _closed() -> Iterator[None]:
    yield
    http.close()


def status(url: str, method: str, path: str, headers: dict[str, str]) -> int:
    body = BODY if method == "POST" else None
    return http.request(method, f"{url}{path}", json=body, headers=headers).status_code


def preflight_of(headers: str) -> dict[str, str]:
    return {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": headers}


@pytest.mark.parametrize(
    ("host", "answered"),
    [
        ("localhost", True),
        ("LOCALHOST:8000", True),
        ("localhost.:1", True),
        ("page.localhost:8000", True),
        ("127.0.0.1", True),
        ("10.1.2.3:8000", True),  # of a port that is forwarded: an address cannot be pointed elsewhere
        ("[::1]:8000", True),
        ("attacker.example", False),
        ("attacker.example:8000", False),
        ("localhost.attacker.example", False),
        ("127.0.0.1.attacker.example", False),
        ("notlocalhost", False),
        ("localhost@attacker.example", False),
        ("[attacker]", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("path", ["/models", "/v2", "/"])
def test_a_server_of_this_machine_knows_its_names(server: RunningServer, host: str, answered: bool, path: str) -> None:
    reply = http.get(f"{server.http}{path}", headers={"Host": host})
    assert reply.status_code == (200 if answered else 403)
    if not answered:
        assert "--allowed-hosts" in reply.text
        assert repr(host) in reply.text


def test_metrics_on_a_port_of_their_own_have_the_same_names(models_folder: Path) -> None:
    with running(models_folder, management_port=0) as server:
        url = f"http://127.0.0.1:{server.server.management_port}"
        for host, expected in (("localhost", 200), ("attacker.example", 403)):
            assert status(url, "GET", "/metrics", {"Host": host}) == expected
        assert status(url, "GET", "/livez", {"Host": "attacker.example"}) == 200


def test_probes_are_answered_under_every_name(server: RunningServer) -> None:
    for path in ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready"):
        assert http.get(f"{server.http}{path}", headers={"Host": "attacker.example"}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "answered"),
    [
        ({}, True),  # a program
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:8000"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": PAGE}, True),  # through a proxy that does not pass on Host
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "cross-site", "Origin": PAGE}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"}, False),
        ({"Origin": PAGE}, False),
        ({"Origin": "null"}, False),
        ({"Host": "localhost:8000", "Origin": "http://localhost:8000"}, True),
        ({"Host": "localhost:8000", "Origin": "http://localhost:3000"}, False),
        ({"Host": "localhost", "Origin": "https://localhost"}, True),  # through a proxy that speaks TLS
    ],
)
def test_pages_of_other_sites_neither_compute_nor_change(
    server: RunningServer, headers: dict[str, str], answered: bool
) -> None:
    ours = {"/simulate": 200, UNLOAD: 422, "/v2/models/tiny/infer": 422}
    for path, expected in ours.items():
        assert status(server.http, "POST", path, headers) == (expected if answered else 403)
    assert status(server.http, "GET", "/models", headers) == 200  # which a browser keeps from the page


@pytest.mark.parametrize(
    "kind", ["text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_form_bodies_are_not_json(server: RunningServer, kind: str) -> None:
    for path in ("/simulate", UNLOAD, "/v2/models/tiny/infer"):
        reply = http.post(f"{server.http}{path}", content=b"{}", headers={"Content-Type": kind})
        assert reply.status_code == 415
        assert "-H 'Content-Type: application/json'" in reply.text


def test_names_and_origins_that_were_given(models_folder: Path) -> None:
    options = {"allowed_hosts": ["zdc.example"], "cors_origins": [PAGE]}
    with running(models_folder, **options) as server:
        for host, expected in (("zdc.example", 200), ("ZDC.example:80", 200), ("other.example", 403)):
            assert status(server.http, "POST", "/simulate", {"Host": host}) == expected
        for origin, expected in ((PAGE, 200), ("https://other.example", 403)):
            asked = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
            assert status(server.http, "POST", "/simulate", asked) == expected
        reply = http.post(f"{server.http}/simulate", json=BODY, headers={"Origin": PAGE})
        assert reply.headers["Access-Control-Allow-Origin"] == PAGE
        assert reply.headers["Access-Control-Expose-Headers"] == "*"
        wanted = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type,x-zdc-timeout-ms",
        }
        preflight = http.options(f"{server.http}/simulate", headers=wanted | {"Origin": PAGE})
        assert (preflight.status_code, preflight.headers["Access-Control-Allow-Origin"]) == (200, PAGE)
        assert "x-zdc-timeout-ms" in preflight.headers["Access-Control-Allow-Headers"]
        assert http.options(f"{server.http}/simulate", headers=wanted | {"Origin": "https://o"}).status_code == 400


def test_without_the_option_there_is_no_cors(server: RunningServer) -> None:
    reply = http.get(f"{server.http}/models", headers={"Origin": PAGE})
    assert not [name for name in reply.headers if name.startswith("access-control")]


def test_a_server_beyond_this_machine_has_names_it_does_not_know(models_folder: Path) -> None:
    with running(models_folder, host="0.0.0.0", insecure=True) as server:
        assert status(server.http, "POST", "/simulate", {"Host": "zdc.namespace.svc"}) == 200
        foreign = {"Host": "zdc.namespace.svc", "Origin": PAGE}
        assert status(server.http, "POST", "/simulate", foreign) == 403


def test_with_tokens_pages_need_one(models_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("alice-0123456789abcdef\n")
    with running(models_folder, token_files=[tmp_path / "tokens"], cors_origins=[PAGE]) as server:
        foreign = {"Host": "zdc.example", "Origin": PAGE}
        refused = http.post(f"{server.http}/simulate", json=BODY, headers=foreign)
        assert (refused.status_code, refused.headers["Access-Control-Allow-Origin"]) == (401, PAGE)
        known = foreign | {"Authorization": "Bearer alice-0123456789abcdef"}
        assert status(server.http, "POST", "/simulate", known) == 200
        wanted = {
            "Origin": PAGE,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        }
        assert http.options(f"{server.http}/simulate", headers=wanted).status_code == 200


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """Another site with an empty page."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    site = ThreadingHTTPServer(("127.0.0.1", 0), Empty)
    thread = threading.Thread(target=site.serve_forever)
    thread.start()
    yield f"http://localhost:{site.server_port}/"
    site.shutdown()
    thread.join()
    site.server_close()


def test_a_page_of_another_site_in_a_real_browser(browser: "Browser", elsewhere: str, models_folder: Path) -> None:
    """The page sends requests that browsers send without a preflight; no type of body unloads a model."""
    with running(models_folder) as server:
        page = browser.new_page()
        page.goto(elsewhere)
        for body in ("'{}'", "new Blob(['{}'])", "undefined"):
            with page.expect_response("**/unload") as reply:
                page.evaluate(
                    f"url => fetch(url, {{method: 'POST', mode: 'no-cors', body: {body}}})",
                    f"{server.http}/v2/repository/models/tiny/unload",
                )
            assert reply.value.status == 403
        page.close()
        assert http.get(f"{server.http}/v2/models/tiny/ready").status_code == 200
