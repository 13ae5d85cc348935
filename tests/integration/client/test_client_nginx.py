"""Clients and the page behind nginx, configured as in the documentation."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from helpers.callers.browser import Reader
from helpers.files.same_results import assert_same
from helpers.models.tiny_model import some_particles
from helpers.servers.running_server import RunningServer
from helpers.waiting import wait_until
from zdc_service.client import connect

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "access.md"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
FOLDERS = ("client_body_temp", "proxy_temp", "fastcgi_temp", "uwsgi_temp", "scgi_temp")


class Front(NamedTuple):
    """Addresses of an nginx server."""

    http: str
    grpc: str


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def front(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """An nginx server in front of `server`."""
    if NGINX is None:
        pytest.skip("needs nginx (Debian: nginx-light)")
    folder = tmp_path_factory.mktemp("nginx")
    (shown,) = re.findall(r"^```nginx\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    http, grpc = free_port(), free_port()
    for old, new in (
        ("listen 8080", f"listen 127.0.0.1:{http}"),
        ("listen 8081", f"listen 127.0.0.1:{grpc}"),
        ("http://127.0.0.1:8000", server.http),
        ("127.0.0.1:8001", server.grpc),
    ):
        assert old in shown
        shown = shown.replace(old, new)
    temporary = "".join(f"{name}_path {folder / name};\n" for name in FOLDERS)
    user = "user root root; " if os.geteuid() == 0 else ""  # the owner of this folder
    head = f"{user}daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log; events {{}}\n"
    (folder / "nginx.conf").write_text(f"{head}http {{ access_log off;\n{temporary}{shown}}}\n")
    running = subprocess.Popen([NGINX, "-c", folder / "nginx.conf", "-e", folder / "error.log"])
    wait_until(lambda: running.poll() is not None or (listens(http) and listens(grpc)))
    assert running.poll() is None, (folder / "error.log").read_text()
    yield Front(f"http://127.0.0.1:{http}/zdc", f"grpc://127.0.0.1:{grpc}")
    running.terminate()
    running.wait(60)


@pytest.mark.parametrize("way", ["http", "grpc"])
def test_clients_behind_a_proxy(front: Front, server: RunningServer, way: str) -> None:
    particles = some_particles(3000)
    with connect(f"grpc://{server.grpc}") as direct, connect(getattr(front, way)) as client:
        assert_same(client.run(particles, seed=3), direct.run(particles, seed=3))


def test_the_page_behind_a_proxy(visit: Callable[..., Reader], front: Front) -> None:
    for name in ("127.0.0.1", "localhost"):
        url = front.http.replace("127.0.0.1", name)
        reader = visit(url, wait=False)
        with reader.answered():
            reader.page.goto(f"{url}/")
        assert len(reader.captions("model-gallery")) == 5
        assert len(reader.captions("geant-gallery")) == 5
        assert f"{url}/simulate" in reader.text("curl")


def test_the_page_works_under_another_name_of_this_machine(visit: Callable[..., Reader], server: RunningServer) -> None:
    reader = visit(server.http.replace("127.0.0.1", "localhost"))
    assert len(reader.captions("model-gallery")) == 5
