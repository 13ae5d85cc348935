"""The programs that the page at ``/`` writes: run without changes, they give the page's results."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.callers.browser import Reader
from helpers.callers.cpp_build import built_client, make, needs_tools
from helpers.servers.running_server import RunningServer
from playwright.sync_api import expect
from zdc_service.settings import ServerSettings

Open = Callable[..., Reader]
TOKEN = "alice-0123456789abcdef"
TIMEOUT = 60

CMAKE = """
cmake_minimum_required(VERSION 3.18)
project(snippet CXX)
find_package(zdc_fastsim CONFIG REQUIRED)
add_executable(snippet snippet.cc)
target_link_libraries(snippet PRIVATE zdc_fastsim::client)
"""


@pytest.fixture(scope="module")
def guarded(models_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    tokens = tmp_path_factory.mktemp("tokens") / "token"
    tokens.write_text(f"{TOKEN}\n")
    settings = ServerSettings(
        models=models_folder, default_model="tiny", http_port=0, grpc_port=0, threads=1, token_files=[tokens]
    )
    running = RunningServer(settings)
    yield running
    running.stop()


@pytest.fixture(params=["open", "guarded"])
def reader(request: pytest.FixtureRequest, visit: Open, guarded: RunningServer) -> Reader:
    """With a server without tokens, and with one that needs tokens."""
    if request.param == "open":
        reader = visit()
    else:
        reader = visit(guarded.http, wait=False)
        reader.page.get_by_label("Token of this server").fill(TOKEN)
        with reader.answered():
            reader.page.get_by_role("button", name="Use it").click()
    reader.fill("repeats", 4)
    reader.fill("vz", -3.25)
    return reader


def run(command: list[str], folder: Path, text: str | None = None) -> str:
    environment = os.environ | {"ZDC_TOKEN": TOKEN}
    done = subprocess.run(
        command, cwd=folder, env=environment, input=text, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown(reader: Reader) -> list[int]:
    return reader.captions("model-gallery")


def sums_of(reply: dict[str, Any]) -> list[int]:
    return [sum(row) for row in reply["channels"]]


def test_the_snippets_have_the_sent_body(visit: Open) -> None:
    reader = visit()
    sent: list[str | None] = []
    reader.page.on("request", lambda request: sent.append(request.post_data))
    reader.fill("repeats", 4)
    (text,) = [body for body in sent if body]
    for program in ("curl", "python"):
        assert text in reader.text(program)
    assert json.loads(text) == reader.body()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl(reader: Reader, tmp_path: Path) -> None:
    reply = json.loads(run(["sh", "-eu", "-s"], tmp_path, reader.text("curl")))
    assert sums_of(reply) == shown(reader)
    assert reply["seed"] == reader.body()["seed"]


def test_python(reader: Reader, tmp_path: Path) -> None:
    lines = run([sys.executable, "-I", "-"], tmp_path, reader.text("python")).splitlines()
    assert [int(line.split()[1]) for line in lines] == shown(reader)


@pytest.mark.slow
@needs_tools
def test_cpp(reader: Reader, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    (tmp_path / "snippet.cc").write_text(reader.text("cpp"))
    (tmp_path / "CMakeLists.txt").write_text(CMAKE)
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    make(tmp_path, tmp_path / "build", f"-DCMAKE_PREFIX_PATH={built_client(tmp_path_factory).prefix}")
    lines = run([str(tmp_path / "build" / "snippet")], tmp_path).splitlines()
    assert [sum(map(int, line.split()[1::2])) for line in lines] == shown(reader)


def test_copying(visit: Open) -> None:
    reader = visit(permissions=["clipboard-read", "clipboard-write"])
    for program in ("curl", "python", "cpp"):
        reader.unfold()
        reader.page.locator(f"[data-copies={program}]").click()
        expect(reader.page.locator("#copied")).to_have_text("Copied.")
        assert reader.page.evaluate("() => navigator.clipboard.readText()") == reader.text(program)
