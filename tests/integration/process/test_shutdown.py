"""SIGTERM under load: every accepted request is answered, and the process ends in time with code 0."""

import http.client
import json
import signal
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc
import h2.events
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from helpers.callers.raw_grpc import RawCaller, framed
from helpers.models.tiny_model import some_particles
from helpers.servers.served_process import TIMEOUT, Process
from zdc_service.client.transports.grpc_client import message_of_request
from zdc_service.messages import simulation_pb2 as pb
from zdc_service.simulation import Output, SimulationRequest

CODING = (pb.SimulateRequest.SerializeToString, pb.SimulateResponse.FromString)
STREAM = "/zdc.v1.Simulation/SimulateStream"
ROWS = 200
#: Requests that a stream is ahead of its answers.
AHEAD = 3


def body_of(repeats: int) -> bytes:
    particle = {"pdg": 2112, "px": 0, "py": 0, "pz": 1000}
    return json.dumps({"particles": [particle], "repeats": repeats, "output": "channels"}).encode()


def message_of(seed: int, repeats: int = ROWS) -> pb.SimulateRequest:
    return message_of_request(SimulationRequest(some_particles(1), seed, repeats=repeats, output=Output.CHANNELS))


class Caller(threading.Thread, ABC):
    """Sends requests until the server refuses them.

    Attributes
    ----------
    answered : Requests that got their whole answer.
    lost : What happened to those that got none, after the server had taken them.
    """

    def __init__(self, server: Process):
        super().__init__(daemon=True)
        self.server = server
        self.answered = 0
        self.lost: list[str] = []

    def run(self) -> None:
        try:
            self.call()
        except Exception as error:
            self.lost.append(repr(error))

    @abstractmethod
    def call(self) -> None:
        """Send requests until the server accepts no more."""


class OverHttp(Caller):
    """Keeps its connection until the server closes it."""

    def call(self) -> None:
        host, port = self.server.http.removeprefix("http://").split(":")
        while True:
            connection = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT)
            try:
                connection.connect()
            except ConnectionRefusedError:
                return
            self.use(connection)

    def use(self, connection: http.client.HTTPConnection) -> None:
        while connection.sock is not None:  # the server did not say that it closes
            connection.request("POST", "/simulate", body_of(ROWS), {"Content-Type": "application/json"})
            reply = connection.getresponse()
            assert len(json.load(reply)["channels"]) == ROWS
            self.answered += 1


class OverNewConnections(OverHttp):
    """Opens a connection for each request."""

    def use(self, connection: http.client.HTTPConnection) -> None:
        headers = {"Content-Type": "application/json", "Connection": "close"}
        connection.request("POST", "/simulate", body_of(1), headers)
        assert len(json.load(connection.getresponse())["channels"]) == 1
        self.answered += 1


class OverGrpc(Caller):
    """Makes one call per request."""

    def call(self) -> None:
        with grpc.insecure_channel(self.server.grpc) as channel:
            simulate = channel.unary_unary("/zdc.v1.Simulation/Simulate", *CODING)
            while True:
                try:
                    reply = simulate(message_of(1), timeout=TIMEOUT)
                except grpc.RpcError as error:
                    assert_sent_away(error)
                    return
                assert len(reply.particle) == 4 * ROWS
                self.answered += 1


class OverStream(Caller):
    """Sends many requests on one stream, a few ahead of the answers."""

    def call(self) -> None:
        seeds: SimpleQueue[int | None] = SimpleQueue()
        for seed in range(AHEAD):
            seeds.put(seed)

        def messages() -> Iterator[pb.SimulateRequest]:
            while (seed := seeds.get()) is not None:
                yield message_of(seed)

        with grpc.insecure_channel(self.server.grpc) as channel:
            replies = channel.stream_stream(STREAM, *CODING)(messages(), timeout=TIMEOUT)
            try:
                for reply in replies:
                    assert reply.seed == self.answered
                    assert len(reply.particle) == 4 * ROWS
                    self.answered += 1
                    seeds.put(self.answered + AHEAD - 1)
            except grpc.RpcError as error:
                assert_sent_away(error)
            finally:
                seeds.put(None)


def assert_sent_away(error: Any) -> None:
    assert error.code() is grpc.StatusCode.UNAVAILABLE, (error.code(), error.details(), error.debug_error_string())


@pytest.fixture
def options(models_folder: Path) -> tuple[str, ...]:
    return ("--models", str(models_folder), "--default-model", "tiny", "--threads", "2")


@pytest.fixture
def started() -> Iterator[list[Process]]:
    """Ends the processes that a test leaves running."""
    processes: list[Process] = []
    yield processes
    for process in processes:
        if process.popen.poll() is None:
            process.popen.kill()
        process.popen.communicate(timeout=TIMEOUT)


@pytest.mark.parametrize("drain", [0.0, 1.0])
def test_every_accepted_request_is_answered(options: tuple[str, ...], started: list[Process], drain: float) -> None:
    server = Process(*options, "--drain-seconds", str(drain))
    started.append(server)
    callers = [kind(server) for kind in (OverHttp, OverNewConnections, OverGrpc, OverStream) for _ in range(4)]
    for caller in callers:
        caller.start()
    until = time.monotonic() + TIMEOUT
    while min(caller.answered for caller in callers) < 5 and time.monotonic() < until:
        time.sleep(0.01)
    before = [caller.answered for caller in callers]
    began = time.monotonic()
    code, err = server.end(signal.SIGTERM)
    seconds = time.monotonic() - began
    for caller in callers:
        caller.join(TIMEOUT)
    assert [lost for caller in callers for lost in caller.lost] == []
    assert min(before) >= 5
    assert code == 0, err
    assert drain <= seconds < drain + 20
    assert "cut off" not in err
    assert "Traceback" not in err
    if drain:
        assert all(caller.answered > number for caller, number in zip(callers, before, strict=True))


def test_while_it_drains_it_says_so_and_serves(options: tuple[str, ...], started: list[Process]) -> None:
    server = Process(*options, "--drain-seconds", "60", "--management-port", "0")
    started.append(server)
    with httpx.Client(base_url=server.http) as kept, grpc.insecure_channel(server.grpc) as channel:
        assert kept.get("/readyz").status_code == 200
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=TIMEOUT)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        server.popen.send_signal(signal.SIGTERM)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        for base in (server.http, server.management):
            reply = httpx.get(f"{base}/readyz")
            assert (reply.status_code, reply.json()["error"]["kind"]) == (503, "not_ready")
            assert httpx.get(f"{base}/livez").status_code == 200
        assert "zdc_requests_total" in httpx.get(f"{server.management}/metrics").text
        reply = kept.post("/simulate", content=body_of(1))
        assert (reply.status_code, reply.headers["connection"]) == (200, "close")
        simulate = channel.unary_unary("/zdc.v1.Simulation/Simulate", *CODING)
        assert len(simulate(message_of(1), timeout=TIMEOUT).particle) == 4 * ROWS
        watch.cancel()
    code, err = server.end(signal.SIGTERM)
    assert code == 128 + signal.SIGTERM
    assert "SIGTERM again: exiting at once; unanswered requests are lost" in err


def test_streams_and_connections_at_rest_do_not_hold_it_up(options: tuple[str, ...], started: list[Process]) -> None:
    server = Process(*options)
    started.append(server)
    held = threading.Event()

    def messages() -> Iterator[pb.SimulateRequest]:
        yield message_of(1)
        held.wait(TIMEOUT)

    host, port = server.http.removeprefix("http://").split(":")
    with (
        grpc.insecure_channel(server.grpc) as channel,
        socket.create_connection((host, int(port))),
        httpx.Client(base_url=server.http) as kept,
    ):
        assert kept.get("/livez").status_code == 200
        replies = channel.stream_stream(STREAM, *CODING)(messages(), timeout=TIMEOUT)
        assert next(replies).last
        began = time.monotonic()
        assert server.end(signal.SIGTERM)[0] == 0
        assert time.monotonic() - began < 20
        with pytest.raises(grpc.RpcError) as sent_away:
            next(replies)
        assert_sent_away(sent_away.value)
        held.set()


def test_a_second_interrupt_ends_it_at_once(options: tuple[str, ...], started: list[Process]) -> None:
    server, number = Process(*options, "--drain-seconds", "60"), signal.SIGINT
    started.append(server)
    server.popen.send_signal(number)
    until = time.monotonic() + TIMEOUT
    while httpx.get(f"{server.http}/readyz").status_code == 200:
        assert time.monotonic() < until
    began = time.monotonic()
    code, err = server.end(number)
    assert code == 128 + number
    assert "SIGINT again: exiting at once; unanswered requests are lost" in err
    assert time.monotonic() - began < 20


def test_too_slow_requests_are_dropped_and_logged(options: tuple[str, ...], started: list[Process]) -> None:
    server = Process(*options, "--shutdown-seconds", "0.5", "--body-seconds", "60")
    started.append(server)
    host, port = server.http.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"POST /simulate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n")  # and no body
        time.sleep(0.3)
        began = time.monotonic()
        code, err = server.end(signal.SIGTERM)
        assert time.monotonic() - began < 20
        assert code == 0
        assert "closed 1 HTTP connection: answers were not computed or not read within 0.5 s" in err


def test_clients_that_do_not_read_do_not_delay_the_shutdown(options: tuple[str, ...], started: list[Process]) -> None:
    server = Process(*options, "--shutdown-seconds", "1")
    started.append(server)
    particle = {"pdg": 2112, "px": 0, "py": 0, "pz": 1000}
    body = json.dumps({"particles": [particle], "repeats": 4000}).encode()
    head = (
        b"POST /simulate HTTP/1.1\r\nHost: localhost\r\nAccept: application/octet-stream\r\nContent-Length: %d\r\n\r\n"
    )
    host, port = server.http.removeprefix("http://").split(":")
    large = message_of_request(SimulationRequest(some_particles(1), 1, repeats=16000))
    with (
        socket.create_connection((host, int(port))) as connection,
        grpc.insecure_channel(server.grpc) as channel,
    ):
        connection.sendall(head % len(body) + body)
        replies = channel.stream_stream(STREAM, *CODING)(iter([large] * 3), timeout=TIMEOUT)
        next(replies)
        assert connection.recv(8).startswith(b"HTTP/1.1")
        began = time.monotonic()
        code, err = server.end(signal.SIGTERM)
        assert time.monotonic() - began < 20
        assert code == 0
        assert "closed 1 HTTP connection: answers were not computed or not read within 1 s" in err
        assert "ended gRPC calls: answers were not computed or not read within 1 s" in err
        assert "Traceback" not in err


def test_the_last_answer_is_read_before_grpc_closes_its_connection(
    options: tuple[str, ...], started: list[Process]
) -> None:
    server = Process(*options)
    started.append(server)
    asked = message_of_request(SimulationRequest(some_particles(1), 1, repeats=100))
    with RawCaller(int(server.grpc.rpartition(":")[2]), buffer=8192) as caller:
        call = caller.call("/zdc.v1.Simulation/Simulate")
        caller.read_on(call)
        caller.send(call, framed(asked.SerializeToString()), end=True)
        caller.wait_for(h2.events.ResponseReceived, call)
        server.popen.send_signal(signal.SIGTERM)
        time.sleep(2.0)  # the caller is busy elsewhere; what he then sends must not meet a closed connection
        caller.ping()
        assert caller.trailers(call)["grpc-status"] == "0"
    assert server.popen.wait(TIMEOUT) == 0
