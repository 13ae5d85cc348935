"""`zdc serve` as a process: its output and its end."""

import asyncio
import http.client
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from helpers.foreground import foreground
from helpers.models.tiny_model import some_particles
from helpers.servers.running_server import running
from helpers.servers.served_process import TIMEOUT, Process
from zdc_common.errors import ConfigError
from zdc_service.client import ClientOptions, concatenate, connect
from zdc_service.client.transports.grpc_client import message_of_request
from zdc_service.messages import simulation_pb2 as pb
from zdc_service.serving.server import Server
from zdc_service.settings import EngineSettings, ServerSettings
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import SimulationRequest


@pytest.fixture
def process(models_folder: Path) -> Iterator[Process]:
    running = Process("--models", str(models_folder), "--default-model", "tiny")
    yield running
    if running.popen.poll() is None:
        running.popen.kill()
    running.popen.communicate(timeout=TIMEOUT)


def test_the_printed_line_works_as_it_is(process: Process) -> None:
    arguments = shlex.split(process.curl)
    assert arguments[0] == "curl"
    done = subprocess.run(arguments, capture_output=True, check=True, timeout=TIMEOUT)
    assert sum(json.loads(done.stdout)["channels"][0]) > 0


def test_the_shipped_model_is_served_by_default() -> None:
    """Same bytes over HTTP, over gRPC and in process, from the command without any model option."""
    running = Process()
    try:
        particles = some_particles(60)
        with Simulator(EngineSettings()) as simulator:
            wanted = simulator.simulate(SimulationRequest(particles, seed=5, repeats=2))
        for url in (running.http, f"grpc://{running.grpc}"):
            with connect(url, ClientOptions(rows_per_request=17)) as client:
                answer = concatenate(client.simulate(particles, seed=5, repeats=2))
            assert (answer.model, answer.version) == (wanted.model, wanted.version)
            np.testing.assert_array_equal(answer.response, wanted.response)
            np.testing.assert_array_equal(answer.channels, wanted.channels)
        assert wanted.channels.any()
    finally:
        code, err = running.end(signal.SIGTERM)
    assert code == 0, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_code_0(process: Process, number: int) -> None:
    assert httpx.get(f"{process.http}/readyz").status_code == 200
    with grpc.insecure_channel(process.grpc) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        assert stub.Check(health_pb2.HealthCheckRequest(), timeout=30).status == 1
        code, err = process.end(number)
    assert code == 0
    assert "Traceback" not in err
    assert "shutting down" in err


def test_requests_in_flight_are_answered_before_it_ends(process: Process) -> None:
    rows = 3000
    body = {"particles": [{"pdg": 2112, "px": 0, "py": 0, "pz": 1000}], "repeats": rows, "output": "channels"}
    answers: list[int] = []

    def over_http() -> None:
        reply = httpx.post(f"{process.http}/simulate", json=body, timeout=TIMEOUT)
        answers.append(len(reply.json()["channels"]))

    def over_grpc() -> None:
        message = message_of_request(SimulationRequest(some_particles(1), repeats=rows))
        coding = (pb.SimulateRequest.SerializeToString, pb.SimulateResponse.FromString)
        with grpc.insecure_channel(process.grpc) as channel:
            replies = channel.stream_stream("/zdc.v1.Simulation/SimulateStream", *coding)(iter([message]), timeout=60)
            answers.append(sum(len(reply.particle) // 4 for reply in replies))

    callers = []
    for jobs, call in enumerate((over_http, over_http, over_grpc), start=1):
        callers.append(threading.Thread(target=call))
        callers[-1].start()
        while begun(process) < jobs:
            time.sleep(0.001)
    code, err = process.end(signal.SIGTERM)
    for caller in callers:
        caller.join(TIMEOUT)
    assert answers == [rows] * 3
    assert code == 0, err


def test_it_serves_with_closed_output_and_terminal(models_folder: Path) -> None:
    """It still serves, logs its addresses, and answers requests in progress at SIGHUP."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [
        *foreground("zdc_service.cli"), "serve", "--models", str(models_folder), "--default-model", "tiny",
        "--http-port", "0", "--grpc-port", "0",
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen(command, stdout=writing, stderr=subprocess.PIPE, text=True, env=environment)
    os.close(writing)
    assert process.stderr is not None
    try:
        line = next(line for line in process.stderr if "standard output" in line)
        found = re.search(r"\(Broken pipe\): HTTP on (http://\S+)", line)
        assert found is not None, line
        rows = 3000
        body = {"particles": [{"pdg": 2112, "px": 0, "py": 0, "pz": 1000}], "repeats": rows, "output": "channels"}
        host, port = found[1].removeprefix("http://").split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT)
        connection.request("POST", "/simulate", json.dumps(body))
        process.send_signal(signal.SIGHUP)
        assert len(json.load(connection.getresponse())["channels"]) == rows
        _, err = process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, err
    assert "Traceback" not in err


def begun(process: Process) -> float:
    """Jobs whose first rows are being computed."""
    text = httpx.get(f"{process.http}/metrics").text
    return float(next(line for line in text.splitlines() if line.startswith("zdc_queue_seconds_count ")).split()[1])


def test_health_says_not_serving_while_it_ends(process: Process) -> None:
    with grpc.insecure_channel(process.grpc) as channel:
        updates = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=TIMEOUT)
        assert next(updates).status == health_pb2.HealthCheckResponse.SERVING
        process.popen.send_signal(signal.SIGTERM)
        assert next(updates).status == health_pb2.HealthCheckResponse.NOT_SERVING


def test_a_port_that_another_server_takes_while_models_are_loaded_is_named(models_folder: Path) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        port: int = other.getsockname()[1]
        server = Server(ServerSettings(models=models_folder, default_model="tiny", http_port=port, grpc_port=0))
        other.listen()

        async def start_and_stop() -> None:
            with pytest.raises(ConfigError, match=f"--http-port {port} on 127.0.0.1: .*is another server running"):
                await server.start()
            assert not server.ready
            await server.stop()

        asyncio.run(start_and_stop())


def test_a_taken_grpc_port_is_noticed_before_models_are_loaded(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"--grpc-port {port} on 127.0.0.1: .*is another server running"):
            Server(ServerSettings(models=tmp_path / "missing", http_port=0, grpc_port=port))


def test_nothing_is_left_of_a_server_that_cannot_be_made(models_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No sockets or threads of the simulator are left, at whatever point the start fails."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no application")

    monkeypatch.setattr("zdc_service.serving.server.create_http_app", fail)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    threads = set(threading.enumerate())
    with pytest.raises(RuntimeError, match="no application"):
        Server(ServerSettings(models=models_folder, default_model="tiny", http_port=port, grpc_port=0))
    assert set(threading.enumerate()) <= threads
    with socket.create_server(("127.0.0.1", port)):  # it is free again
        pass


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_all_addresses_are_those_of_both_protocols(models_folder: Path, host: str) -> None:
    """0.0.0.0 also means IPv6, for HTTP as for gRPC."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("needs IPv6")
    with running(models_folder, host=host, insecure=True) as server:
        for port in (server.server.http_port, server.server.grpc_port):
            for address in ("127.0.0.1", "::1"):
                with socket.create_connection((address, port), timeout=TIMEOUT):
                    pass


@pytest.mark.parametrize("port", ["--http-port", "--grpc-port"])
def test_a_taken_port_is_named(models_folder: Path, port: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        other = "--grpc-port" if port == "--http-port" else "--http-port"
        number = str(taken.getsockname()[1])
        command = [
            sys.executable, "-m", "zdc_service.cli", "serve", "--models", str(models_folder),
            "--default-model", "tiny", port, number, other, "0",
        ]  # fmt: skip
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, env=environment, check=False)
    assert done.returncode == 2
    assert f"{port} {number} on 127.0.0.1" in done.stderr
    assert "is another server running?" in done.stderr
    assert "Traceback" not in done.stderr
