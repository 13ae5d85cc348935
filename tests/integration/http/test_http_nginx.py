"""Behind nginx, configured for upgrades as in its manual: denied paths cannot be reached."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest
from helpers.callers.raw_http import PATIENCE
from helpers.servers.running_server import RunningServer
from helpers.waiting import wait_until

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_buffer_size 1m;
  client_body_temp_path {folder}/bodies;
  proxy_temp_path {folder}/proxied;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
  server {{
    listen 127.0.0.1:{port};
    location /v2/repository {{ deny all; }}
    location / {{
      proxy_pass {server};
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
    }}
  }}
}}
"""
BODY = json.dumps(
    {"particles": [{"pdg": 2112, "px": 0, "py": 0, "pz": 1000}], "seed": 1, "output": "channels"}
).encode()
UNLOAD = b"POST /v2/repository/models/strips/unload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
OFFER = b"Connection: upgrade\r\nUpgrade: %s\r\n"


@pytest.fixture(scope="module")
def front(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an nginx in front of `server`."""
    if NGINX is None:
        pytest.skip("needs nginx (Debian: nginx-light)")
    folder = tmp_path_factory.mktemp("nginx")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    (folder / "nginx.conf").write_text(CONFIGURATION.format(folder=folder, port=port, server=server.http))
    running = subprocess.Popen([NGINX, "-c", folder / "nginx.conf", "-e", folder / "error.log"])
    wait_until(lambda: running.poll() is not None or listens(port))
    yield port
    running.terminate()
    running.wait(PATIENCE)


def listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def first_answer(port: int, *parts: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(0.05)  # nginx passes each on by itself
        return connection.recv(65536)


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c", b"nonsense"])
def test_no_hidden_request_gets_past_it(server: RunningServer, front: int, protocol: bytes) -> None:
    assert first_answer(front, UNLOAD).startswith(b"HTTP/1.1 403")
    for path in (b"/simulate", b"/models", b"/v2/models/tiny/infer"):
        head = b"POST %s HTTP/1.1\r\nHost: localhost\r\n" % path + OFFER % protocol
        # More than one read: what a parser takes for the rest begins with empty lines, as before a request.
        hidden = b"\r\n" * 100_000 + UNLOAD
        head += b"Content-Length: %d\r\n\r\n" % len(hidden)
        for parts in ((head, hidden), (head + hidden,)):
            assert first_answer(front, *parts)[9:12] in (b"422", b"405")
    time.sleep(0.3)  # nothing tells when nothing more comes
    assert server.server.simulator.repository.get("strips").card.name == "strips"


def test_a_body_behind_an_offer_is_answered(front: int) -> None:
    """A request with an upgrade, as Java's HttpClient and ``curl --http2`` send it."""
    head = (
        b"POST /simulate HTTP/1.1\r\nHost: localhost\r\n" + OFFER % b"h2c" + b"Content-Length: %d\r\n\r\n" % len(BODY)
    )
    for parts in ((head, BODY), (head + BODY,)):
        assert first_answer(front, *parts).startswith(b"HTTP/1.1 200")


def test_curl_that_offers_http_2_is_answered(server: RunningServer) -> None:
    done = subprocess.run(
        ["curl", "-s", "--http2", f"{server.http}/simulate", "-H", "Content-Type: application/json", "-d", BODY],
        capture_output=True, check=True, timeout=PATIENCE,
    )  # fmt: skip
    assert json.loads(done.stdout)["seed"] == 1
