"""The C++ client where servers come late, go away, are slow or full, or ask who calls."""

import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM
from typing import Any

import httpx
import numpy as np
import pytest
from certificates import Authority
from cpp_build import Answer, BuiltClient, assert_same, built_client, finish, needs_tools, rows_of
from numpy.testing import assert_array_equal
from running_server import RunningServer
from served_process import Process
from tiny_model import TinyModel, some_particles, write_model
from zdc_detector.particles import Particles
from zdc_service.client import Chunk, Client, concatenate, connect
from zdc_service.settings import ServerSettings
from zdc_service.simulation import Output, SimulationRequest
from zdc_service.simulator import Simulator

pytestmark = [pytest.mark.slow, needs_tools]

PARTICLES = some_particles(5)
TINY = {"shape": "1936,5"}  # so that the first call is the one that simulates
NOBODY = "grpc://127.0.0.1:1"
TOKEN, OTHER = "alice-0123456789abcdef", "bob-0123456789abcdef"


@pytest.fixture(scope="module")
def cpp(tmp_path_factory: pytest.TempPathFactory) -> BuiltClient:
    return built_client(tmp_path_factory)


@contextmanager
def running(models_folder: Path, **options: object) -> Iterator[RunningServer]:
    settings = {"http_port": 0, "grpc_port": 0, "threads": 1, **options}
    server = RunningServer(ServerSettings(models=models_folder, default_model="tiny", **settings))  # type: ignore[arg-type]
    try:
        yield server
    finally:
        server.stop()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


def assert_channels(found: Answer, simulator: Simulator, n: int = len(PARTICLES)) -> None:
    request = SimulationRequest(some_particles(n), 7, output=Output.CHANNELS)
    assert "error" not in found.said, found.said
    assert_array_equal(found.array("channels", np.dtype(np.uint32)), simulator.simulate(request).channels.ravel())


def test_a_server_may_come_up_later(cpp: BuiltClient, models_folder: Path, simulator: Simulator) -> None:
    port = free_port()
    settings = {"output": "channels", "seed": 7, "max_attempts": 100, "max_backoff_ms": 300, **TINY}
    call = cpp.start(f"grpc://127.0.0.1:{port}", rows_of(PARTICLES), **settings)
    time.sleep(1)
    assert call[0].poll() is None
    with running(models_folder, grpc_port=port):
        found = finish(*call)
    assert_channels(found, simulator)
    assert int(found.said["retries"]) > 2


def serve(stack: ExitStack, models_folder: Path, port: int) -> Process:
    limits = ("--threads", "1", "--max-batch-rows", "16")
    process = Process("--models", str(models_folder), "--default-model", "tiny", "--grpc-port", str(port), *limits)
    stack.enter_context(process.popen)
    stack.callback(process.popen.kill)
    return process


@dataclass(frozen=True)
class Job:
    """A call that is under way while its server is killed."""

    model: str
    version: str
    rows: int
    settings: Mapping[str, Any]
    rows_per_request: int = 16_000

    @property
    def key(self) -> tuple[str, str]:
        return self.model, self.version

    @property
    def particles(self) -> Particles:
        return some_particles(self.rows // int(self.settings.get("repeats", 1)))

    def start(self, cpp: BuiltClient, server: Process) -> "tuple[subprocess.Popen[str], Path]":
        shape = "48,2" if self.model == "strips" else "1936,5"
        patience = {"max_attempts": 1000, "max_backoff_ms": 200, "rows_per_request": self.rows_per_request}
        which = {"model": self.model, "version": self.version, "shape": shape, "seed": 7}
        return cpp.start(f"grpc://{server.grpc}", rows_of(self.particles), **which, **patience, **self.settings)

    def run(self, client: Client) -> Iterator[Chunk]:
        settings = {**self.settings, "output": Output(self.settings["output"])}
        settings.pop("out_of_range", None)
        return client.simulate(self.particles, seed=7, model=self.model, version=int(self.version), **settings)


def totals(server: Process | RunningServer, metric: str) -> Mapping[tuple[str, str], int]:
    """A metric by model and version."""
    text = httpx.get(f"{server.http}/metrics").text
    found = re.findall(rf'^{metric}{{model="(\w+)",version="(\d+)"}} (\S+)$', text, re.MULTILINE)
    return {(model, version): int(float(number)) for model, version, number in found}


def test_a_killed_server_loses_no_row_and_doubles_none(
    cpp: BuiltClient, models_folder: Path, server: RunningServer
) -> None:
    whole = Job("tiny", "1", 16_000, {"output": "response"})
    repeated = Job("tiny", "1", 9000, {"output": "hits", "repeats": 3})
    skipping = Job("tiny", "2", 16_000, {"output": "hits", "out_of_range": "skip"})
    small = Job("strips", "1", 100_000, {"output": "channels", "repeats": 20}, rows_per_request=1000)
    jobs = (whole, repeated, skipping, small)
    port = free_port()
    with ExitStack() as stack:
        first = serve(stack, models_folder, port)
        calls = [job.start(cpp, first) for job in jobs]
        for process, _ in calls:
            stack.enter_context(process)
            stack.callback(process.kill)
        while True:  # until some rows of large requests, and all of some small ones, are there
            batches, done = totals(first, "nv_inference_exec_count"), totals(first, "nv_inference_count")
            assert all(process.poll() is None for process, _ in calls)
            assert done[whole.key] == done[skipping.key] == 0
            if min(batches[whole.key], batches[skipping.key]) > 150 and done[small.key] > 5000:
                break
        first.end(SIGKILL)
        second = serve(stack, models_folder, port)
        answers = [finish(*call) for call in calls]
        again = totals(second, "nv_inference_count")
        second.end(SIGTERM)
    with connect(f"grpc://{server.grpc}") as python:
        for job, found in zip(jobs, answers, strict=True):
            assert int(found.said["retries"]) > 0
            assert_same(found, concatenate(job.run(python)))
    assert 0 < again[whole.key] < whole.rows + repeated.rows
    assert again[skipping.key] == skipping.rows  # their counts by reason come with a request's last reply
    assert small.rows - again[small.key] >= done[small.key] - 4 * 1000  # what was under way


def test_a_call_has_one_version_whatever_is_loaded_meanwhile(cpp: BuiltClient, tmp_path: Path) -> None:
    write_model(tmp_path, TinyModel())
    particles = some_particles(8000)
    job = {"seed": 7, "rows_per_request": 4000, **TINY}
    with running(tmp_path, max_batch_rows=16, model_poll_seconds=0) as server:
        process, folder = cpp.start(f"grpc://{server.grpc}", rows_of(particles), **job)
        while not totals(server, "nv_inference_exec_count")["tiny", "1"]:
            assert process.poll() is None
        process.send_signal(SIGSTOP)  # the server reads the second request once most of the first is read from it
        write_model(tmp_path, TinyModel(version=2, seed=2))
        assert httpx.post(f"{server.http}/v2/repository/models/tiny/load").status_code == 200
        process.send_signal(SIGCONT)
        found = finish(process, folder)
        batches = totals(server, "nv_inference_exec_count")
        assert batches["tiny", "1"] >= 500
        assert batches["tiny", "2"] > 0  # for a request that was on its way
        assert cpp.call(f"grpc://{server.grpc}", PARTICLES, **TINY).said["version"] == "2"
        with connect(f"grpc://{server.grpc}") as python:
            assert_same(found, concatenate(python.simulate(particles, seed=7, version=1)))
    assert found.said["retries"] == "0"


def test_a_deadline_ends_a_call(cpp: BuiltClient, server: RunningServer, models_folder: Path) -> None:
    address = f"grpc://{server.grpc}"
    for where, job in ((address, {"repeats": 50_000}), (NOBODY, {"max_attempts": 100})):
        began = time.monotonic()
        said = cpp.call(where, PARTICLES, output="channels", deadline_ms=300, **TINY, **job).said
        assert (said["error"], said["code"], said["kind"]) == ("DeadlineError", "4", "deadline")
        assert "deadline_ms = 300" in said["message"]
        assert where in said["message"]
        assert time.monotonic() - began < 5
    with running(models_folder, request_seconds=1e-4) as hasty:
        said = cpp.call(f"grpc://{hasty.grpc}", PARTICLES, **TINY).said
    assert (said["error"], said["code"]) == ("DeadlineError", "4")


def test_attempts_are_counted(cpp: BuiltClient) -> None:
    for attempts, words in ((1, "(1 attempt)"), (3, "(3 attempts in a row)")):
        said = cpp.call(NOBODY, PARTICLES, max_attempts=attempts, initial_backoff_ms=10, **TINY).said
        assert (said["error"], said["code"]) == ("NotReadyError", "14")
        assert said["message"].startswith(f"{NOBODY}: failed to connect")
        assert said["message"].endswith(f"{words}; is a server listening there?")
        assert cpp.call(NOBODY, only_model=1, max_attempts=attempts, initial_backoff_ms=10).said["code"] == "14"


def test_a_full_queue_is_waited_for(cpp: BuiltClient, models_folder: Path, simulator: Simulator) -> None:
    with running(models_folder, max_request_rows=64, max_queue_rows=64, max_batch_rows=8) as server:
        job = {"seed": 7, "output": "channels", "rows_per_request": 64, "in_flight": 8, "max_attempts": 1}
        found = cpp.call(f"grpc://{server.grpc}", some_particles(640), initial_backoff_ms=5, **job, **TINY)
    assert_channels(found, simulator, n=640)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def guarded(models_folder: Path, authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Asks for a certificate and a token, and is called localhost."""
    folder = tmp_path_factory.mktemp("guarded")
    pair = authority.server(folder, "localhost")
    (folder / "tokens").write_text(f"{TOKEN}\n")
    options = {"tls_certificate": pair.certificate, "tls_key": pair.key, "tls_client_ca": authority.file}
    with running(models_folder, token_files=[folder / "tokens"], management_port=0, **options) as server:
        yield f"grpcs://localhost:{server.server.grpc_port}"


Show = Callable[..., Answer]


@pytest.fixture
def show(cpp: BuiltClient, guarded: str, authority: Authority, tmp_path: Path) -> Show:
    """A call with everything that the server asks for, but for what a test puts in its place."""
    pair = authority.client(tmp_path)
    papers = {"ca_file": authority.file, "client_certificate": pair.certificate, "client_key": pair.key, "token": TOKEN}

    def call(address: str = guarded, **others: object) -> Answer:
        settings = {name: value for name, value in {**papers, **others}.items() if value is not None}
        return cpp.call(address, PARTICLES, output="channels", seed=7, max_attempts=2, **TINY, **settings)

    return call


def test_callers_show_a_certificate_and_a_token(show: Show, simulator: Simulator, tmp_path: Path, guarded: str) -> None:
    assert_channels(show(), simulator)
    (tmp_path / "token").write_text(f"# mine\n\n{TOKEN} # until spring\n")
    assert_channels(show(token=None, token_file=tmp_path / "token"), simulator)
    assert_channels(show(guarded.replace("localhost", "127.0.0.1"), server_name="localhost"), simulator)


def test_wrong_papers_are_refused(show: Show, guarded: str, tmp_path: Path) -> None:
    for token, words in ((OTHER, "the token is not one that this server knows"), (None, "send Authorization: Bearer")):
        said = show(token=token).said
        assert (said["error"], said["code"], said["kind"]) == ("UnauthenticatedError", "16", "unauthenticated")
        assert words in said["message"]
    began = time.monotonic()
    stranger = Authority(tmp_path, "stranger")
    for wrong in (
        {"ca_file": stranger.file},
        {"ca_file": None},
        {"address": guarded.replace("localhost", "127.0.0.1")},
    ):
        said = show(**wrong).said
        assert said["error"] == "ConfigError", said
        assert "is the server's certificate signed by one of ca_file, and for it?" in said["message"]
    pair = stranger.client(tmp_path)
    for wrong in (
        {"client_certificate": pair.certificate, "client_key": pair.key},
        {"client_certificate": None, "client_key": None},
    ):
        said = show(**wrong).said
        assert (said["error"], said["code"]) == ("NotReadyError", "14")
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"address": "127.0.0.1:8001"}, "address '127.0.0.1:8001' must be grpc://host:port"),
        ({"address": "grpc://localhost"}, "address 'grpc://localhost' must be grpc://host:port"),
        ({"address": "grpc://:8001"}, "address 'grpc://:8001' must be grpc://host:port"),
        ({"address": "grpcs://a:b"}, "address 'grpcs://a:b' must be grpc://host:port"),
        ({"address": NOBODY}, " is for TLS; the address must begin with grpcs://"),
        ({"client_key": None}, "client_certificate and client_key go together"),
        ({"ca_file": "/nowhere"}, "ca_file = '/nowhere' cannot be read: No such file or directory"),
        ({"ca_file": "/dev/null"}, "ca_file = '/dev/null' has no PEM block"),
        ({"ca_file": "/"}, "ca_file = '/' cannot be read: Is a directory"),
        ({"token": "a b"}, "token has no bearer token"),
        ({"token": None, "token_file": "/dev/null"}, "token_file = '/dev/null' has no bearer token"),
        ({"token_file": "/dev/null"}, "token and token_file: give one of them"),
        ({"rows_per_request": 0}, "rows_per_request = 0 must be at least 1"),
        ({"in_flight": 0}, "in_flight = 0 must be at least 1"),
        ({"initial_backoff_ms": 7000}, "max_backoff_ms = 5000 no less than it"),
    ],
)
def test_options_that_cannot_be_are_refused(show: Show, wrong: dict[str, object], message: str) -> None:
    said = show(**wrong).said
    assert (said["error"], said["code"], said["kind"]) == ("ConfigError", "3", "config")
    assert message in said["message"]
