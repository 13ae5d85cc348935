"""The C++ client with servers that start late, stop, are slow, or have a full queue."""

import re
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM
from typing import Any

import httpx
import pytest
from helpers.callers.cpp_build import (
    PARTICLES,
    TINY,
    BuiltClient,
    assert_channels,
    assert_same,
    built_client,
    finish,
    needs_tools,
    rows_of,
)
from helpers.models.tiny_model import TinyModel, some_particles, write_model
from helpers.servers.cut_wire import wire_to
from helpers.servers.name_server import resolving
from helpers.servers.running_server import RunningServer, running
from helpers.servers.served_process import Process
from helpers.waiting import wait_until
from zdc_detector.particles import Particles
from zdc_service.client import Chunk, Client, concatenate, connect
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import Output

pytestmark = [pytest.mark.slow, needs_tools]

NOBODY = "grpc://127.0.0.1:1"


@pytest.fixture(scope="module")
def cpp(tmp_path_factory: pytest.TempPathFactory) -> BuiltClient:
    return built_client(tmp_path_factory)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


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
    """A call that is in progress while its server is killed."""

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


def refused(server: Process) -> int:
    """Number of requests that the server has refused because its queue was full."""
    text = httpx.get(f"{server.http}/metrics").text
    found = re.search(r'^zdc_requests_total{.*"overloaded".*} (\S+)$', text, re.MULTILINE)
    return int(float(found[1])) if found else 0


def test_a_restarted_server_loses_and_repeats_no_row(
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
    assert small.rows - again[small.key] >= done[small.key] - 4 * 1000  # requests in flight


def test_a_call_keeps_its_version_if_a_newer_one_is_loaded(cpp: BuiltClient, tmp_path: Path) -> None:
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
        assert batches["tiny", "2"] > 0  # for a request in flight
        assert cpp.call(f"grpc://{server.grpc}", PARTICLES, **TINY).said["version"] == "2"
        with connect(f"grpc://{server.grpc}") as python:
            assert_same(found, concatenate(python.simulate(particles, seed=7, version=1)))
    assert found.said["retries"] == "0"


def test_a_deadline_ends_a_call(cpp: BuiltClient, server: RunningServer, models_folder: Path) -> None:
    address = f"grpc://{server.grpc}"
    for where, job, words in (
        (address, {"repeats": 50_000}, r"\d+ of 250000 rows within deadline_ms = 900; send fewer"),
        (NOBODY, {"max_attempts": 100}, r".*would exceed deadline_ms = 900"),
    ):
        began = time.monotonic()
        said = cpp.call(where, PARTICLES, output="channels", deadline_ms=900, **TINY, **job).said
        assert (said["error"], said["code"], said["kind"]) == ("DeadlineError", "4", "deadline")
        assert re.match(f"{where}: {words}", said["message"])
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


def test_calls_are_distributed_over_all_addresses_of_a_name(cpp: BuiltClient, models_folder: Path) -> None:
    with running(models_folder) as first, ExitStack() as stack:
        port = first.server.grpc_port
        try:
            second = stack.enter_context(running(models_folder, host="127.0.0.2", grpc_port=port))
        except OSError:
            pytest.skip("127.0.0.2 is no address here, or its port is taken")
        resolver = stack.enter_context(resolving(["127.0.0.1", "127.0.0.2"]))
        job = {"output": "channels", "seed": 7, "threads": 8}
        said = cpp.call(f"dns://{resolver}/zdc.example:{port}", PARTICLES, **job).said
        labels = {"model": "tiny", "version": "2"}
        shares = [
            server.server.simulator.instruments.registry.get_sample_value("zdc_rows_total", labels)
            for server in (first, second)
        ]
    assert "error" not in said
    assert sum(filter(None, shares)) == 8 * len(PARTICLES)
    assert min(filter(None, shares)) >= 2 * len(PARTICLES)


def test_pings_detect_a_server_that_has_vanished(cpp: BuiltClient, server: RunningServer) -> None:
    with wire_to(server.grpc) as wire:
        job = {"repeats": 2_000_000, "output": "channels", "keepalive_ms": 1000, "max_attempts": 1, **TINY}
        call = cpp.start(f"grpc://{wire.address}", rows_of(some_particles(1)), **job)
        wait_until(lambda: wire.passed > 100_000)  # some rows are there
        wire.cut()
        said = finish(*call).said
    assert (said["error"], said["code"]) == ("NotReadyError", "14")
    assert re.search(r"[Kk]eepalive|[Pp]ing timeout", said["message"])


def test_a_full_queue_is_retried(cpp: BuiltClient, models_folder: Path, simulator: Simulator) -> None:
    with running(models_folder, max_request_rows=64, max_queue_rows=64, max_batch_rows=8) as server:
        job = {"seed": 7, "output": "channels", "rows_per_request": 64, "in_flight": 8, "max_attempts": 1}
        found = cpp.call(f"grpc://{server.grpc}", some_particles(640), initial_backoff_ms=5, **job, **TINY)
    assert_channels(found, simulator, n=640)


def test_a_full_queue_does_not_count_as_an_attempt(cpp: BuiltClient, models_folder: Path) -> None:
    """After refusals because of a full queue, an unavailable server still gets all attempts."""
    rows = 40_000
    job = {"repeats": rows, "rows_per_request": rows, "output": "channels", **TINY}
    limits = ("--max-request-rows", str(rows), "--max-queue-rows", str(rows), "--max-batch-rows", "1", "--threads", "1")
    with ExitStack() as stack:
        server = Process("--models", str(models_folder), "--default-model", "tiny", "--grpc-port", "0", *limits)
        stack.enter_context(server.popen)
        stack.callback(server.popen.kill)
        calls = []
        for attempts in (1, 3):
            hasty = {"max_attempts": attempts, "initial_backoff_ms": 5, "max_backoff_ms": 20}
            calls.append(cpp.start(f"grpc://{server.grpc}", rows_of(some_particles(1)), **job, **hasty))
            stack.enter_context(calls[-1][0])
            stack.callback(calls[-1][0].kill)
            while totals(server, "nv_inference_exec_count")["tiny", "2"] == 0:
                assert calls[0][0].poll() is None
        while refused(server) < 5:
            assert all(process.poll() is None for process, _ in calls)
        server.end(SIGKILL)
        working, waiting = (finish(*call).said for call in calls)
    assert "(1 attempt)" in working["message"]
    assert "(3 attempts in a row)" in waiting["message"]
