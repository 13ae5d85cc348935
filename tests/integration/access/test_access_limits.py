"""Limits on times, sizes and numbers of connections."""

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from helpers.callers.raw_http import opened, received
from helpers.models.tiny_model import some_particles
from helpers.servers.running_server import RunningServer
from zdc_service.client import ClientOptions, connect
from zdc_service.client.transports.grpc_client import message_of_request
from zdc_service.messages import simulation_pb2 as pb
from zdc_service.settings import ServerSettings
from zdc_service.simulation import Output, SimulationRequest

SECONDS = 1.0
BODY = json.dumps(
    {"particles": [{"pdg": 2112, "px": 0, "py": 0, "pz": 1000}], "seed": 1, "output": "channels"}
).encode()
HEAD = b"POST /simulate HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
#: Longer than the limits, with the second that may pass until a connection is looked at, and a busy machine.
PATIENCE = 10.0


@pytest.fixture(scope="module")
def strict(models_folder: Path) -> Iterator[RunningServer]:
    settings = ServerSettings(
        models=models_folder, default_model="tiny", http_port=0, grpc_port=0, threads=1, max_body_bytes=10_000,
        max_connections=8, header_seconds=SECONDS, body_seconds=SECONDS, idle_seconds=SECONDS,
    )  # fmt: skip
    running = RunningServer(settings)
    yield running
    running.stop()


def error_in(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head
    return int(head.split()[1]), json.loads(body)["error"]["message"]


def drip(connection: socket.socket, data: bytes, pause: float = 0.05) -> None:
    """Send one byte at a time until the server closes the connection."""
    try:
        for byte in data:
            connection.sendall(bytes([byte]))
            time.sleep(pause)
    except OSError:
        pass


def test_a_slow_head_is_closed(strict: RunningServer) -> None:
    with opened(strict) as connection:
        began = time.monotonic()
        sender = threading.Thread(target=drip, args=(connection, b"GET /livez HTTP/1.1\r\nX-Slow: " + bytes(500)))
        sender.start()
        status, message = error_in(received(connection))
        sender.join()
        assert (status, message) == (408, "the head of the request did not arrive within 1 s")
        assert 0.99 * SECONDS < time.monotonic() - began < PATIENCE


def test_a_slow_second_head_is_closed_too(strict: RunningServer) -> None:
    with opened(strict) as connection:
        connection.sendall(HEAD % len(BODY) + BODY)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
        connection.sendall(b"GET /live")
        assert error_in(received(connection))[0] == 408


@pytest.mark.parametrize("sent", [b"", b"\r\n"])
def test_a_connection_without_a_request_is_closed(strict: RunningServer, sent: bytes) -> None:
    with opened(strict) as connection:
        connection.sendall(sent)
        assert b"HTTP/1.1 200" not in received(connection)


@pytest.mark.parametrize("sent", [b"", b"\r\n"])
def test_an_unused_connection_is_closed(strict: RunningServer, sent: bytes) -> None:
    with opened(strict) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        began = time.monotonic()
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
        connection.sendall(sent)
        received(connection)
        assert time.monotonic() - began > 0.99 * SECONDS  # the event loop's clock ticks in milliseconds


@pytest.mark.parametrize("path", [b"/simulate", b"/v2/models/tiny/infer", b"/models"])
def test_a_slow_body_is_closed(strict: RunningServer, path: bytes) -> None:
    with opened(strict) as connection:
        connection.sendall((HEAD % len(BODY)).replace(b"/simulate", path))
        answer = received(connection) if path != b"/models" else connection.recv(65536)
        if path == b"/models":  # answered before the body, which may still come
            assert answer.startswith(b"HTTP/1.1 405")
            received(connection)
        elif path == b"/simulate":
            assert error_in(answer) == (408, "the body of the request did not arrive within 1 s")
        else:  # as the Open Inference Protocol has it
            assert b'{"error": "the body of the request did not arrive within 1 s"}' in answer


def test_long_answers_are_waited_for(strict: RunningServer) -> None:
    """The limits apply only to clients: a request that waits longer for the engine is answered."""
    simulator = strict.server.simulator
    plan = simulator.plan(SimulationRequest(some_particles(1), repeats=16384, output=Output.CHANNELS))
    until = time.monotonic() + 3 * SECONDS
    queue = [simulator.submit(plan) for _ in range(3)]
    with opened(strict) as connection:
        connection.sendall(HEAD % len(BODY) + BODY)
        first = threading.Thread(target=keep_busy, args=(strict, queue, until))
        first.start()
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
        first.join()


def keep_busy(server: RunningServer, queue: list[Any], until: float) -> None:
    while time.monotonic() < until:
        queue.pop(0).result(60)
        queue.append(server.server.simulator.submit(server.server.simulator.plan(
            SimulationRequest(some_particles(1), repeats=16384, output=Output.CHANNELS)
        )))  # fmt: skip
    for future in queue:
        future.result(60)


def ask_for_much(connection: socket.socket) -> int:
    """Request more than the kernel's buffers hold and read only the head; returns the size of the answer."""
    body = json.dumps({"particles": [{"pdg": 2112, "px": 0, "py": 0, "pz": 1000}], "repeats": 4000}).encode()
    connection.sendall((HEAD % len(body)).replace(b"Host", b"Accept: application/octet-stream\r\nHost") + body)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    length = re.search(rb"content-length: (\d+)", head)
    assert length is not None
    return int(length[1])


def test_a_client_that_does_not_read_its_answer_is_disconnected(strict: RunningServer) -> None:
    with opened(strict) as connection, httpx.Client(base_url=strict.http) as other:
        length = ask_for_much(connection)
        for _ in range(6):
            time.sleep(SECONDS / 2)
            assert other.get("/livez").status_code == 200
        assert len(received(connection)) < length  # what was on its way already


def test_a_slow_client_that_still_reads_stays_connected(strict: RunningServer) -> None:
    with opened(strict) as connection:
        length, until = ask_for_much(connection), time.monotonic() + 4 * SECONDS
        while time.monotonic() < until:
            length -= len(connection.recv(min(length, 100_000)))
            time.sleep(0.05)
        while length > 0:
            part = connection.recv(length)
            assert part
            length -= len(part)


def test_a_long_head_is_refused(strict: RunningServer) -> None:
    with opened(strict) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nX-Long: " + b"x" * 70_000)
        assert error_in(received(connection)) == (431, "the head of the request has more than 65536 bytes")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_is_refused_with_its_limit(strict: RunningServer, chunked: bool) -> None:
    body = b" " * 3_000_000
    content = iter([body[:1_000_000]] * 3) if chunked else body
    reply = httpx.post(f"{strict.http}/simulate", content=content, headers={"Content-Type": "application/json"})
    assert reply.status_code == 413
    assert "more than 10000 bytes" in reply.json()["error"]["message"]


def test_a_large_message_is_refused(strict: RunningServer) -> None:
    coding = (pb.SimulateRequest.SerializeToString, pb.SimulateResponse.FromString)
    message = message_of_request(SimulationRequest(some_particles(1000)))
    with grpc.insecure_channel(strict.grpc) as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary("/zdc.v1.Simulation/Simulate", *coding)(message, timeout=30)
    assert code_of(refused.value) is grpc.StatusCode.RESOURCE_EXHAUSTED


def code_of(error: Any) -> grpc.StatusCode:
    code: grpc.StatusCode = error.code()
    return code


def test_pipelined_requests_are_all_answered(strict: RunningServer) -> None:
    with opened(strict) as connection:
        connection.sendall(
            (HEAD % len(BODY) + BODY) * 20 + b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        answers = received(connection)
    assert answers.count(b"HTTP/1.1 200 OK") == 21
    assert answers.endswith(b'{"status":"alive"}')


def test_surplus_connections_are_refused_but_probes_answered(strict: RunningServer) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(httpx.Client(base_url=strict.http)) for _ in range(9)]
        for client in clients[:8]:
            assert client.get("/livez").status_code == 200
        refused = clients[8].post("/simulate", content=BODY)
        assert refused.status_code == 503
        assert (refused.headers["Retry-After"], refused.headers["Connection"]) == ("1", "close")
        assert refused.json()["error"] == {
            "kind": "not_ready",
            "message": "8 connections are open, as many as --max-connections allows; try again",
        }
        assert clients[8].get("/readyz").status_code == 200
        assert clients[0].post("/simulate", content=BODY).status_code == 200  # open connections still work
        clients[1].close()
        time.sleep(0.2)
        assert clients[8].post("/simulate", content=BODY).status_code == 200


def test_a_flood_of_connections_leaves_room_for_those_that_stand(strict: RunningServer) -> None:
    with ExitStack() as stack, httpx.Client(base_url=strict.http) as client:
        assert client.get("/livez").status_code == 200
        flood = [stack.enter_context(opened(strict)) for _ in range(200)]
        time.sleep(0.3)
        assert client.get("/livez").status_code == 200
        assert sum(map(is_closed, flood)) >= 200 - 72  # the others may still hear a refusal


def is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_surplus_grpc_connections_are_refused(strict: RunningServer) -> None:
    coding = (pb.SimulateRequest.SerializeToString, pb.SimulateResponse.FromString)
    message = message_of_request(SimulationRequest(some_particles(1)))
    with ExitStack() as stack:
        for number in range(9):
            options = [("grpc.use_local_subchannel_pool", 1)]  # a separate connection
            channel = stack.enter_context(grpc.insecure_channel(strict.grpc, options))
            call = channel.unary_unary("/zdc.v1.Simulation/Simulate", *coding)
            if number < 8:
                call(message, timeout=60)
                continue
            with pytest.raises(grpc.RpcError) as refused:
                call(message, timeout=5)
            assert code_of(refused.value) in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


def test_a_silent_grpc_connection_is_closed(strict: RunningServer) -> None:
    with socket.create_connection(("127.0.0.1", strict.server.grpc_port), timeout=PATIENCE) as connection:
        began = time.monotonic()
        received(connection)  # its settings, and the end
        assert time.monotonic() - began < PATIENCE


def test_grpc_clients_outlive_an_idle_connection(strict: RunningServer) -> None:
    with connect(f"grpc://{strict.grpc}", ClientOptions(retry_seconds=0.0)) as client:
        for pause in (0.0, 2.5 * SECONDS):
            time.sleep(pause)
            assert len(list(client.simulate(some_particles(3)))) == 1


@pytest.mark.parametrize(("header", "status"), [("0.001", 504), ("60000", 200), ("soon", 422)])
def test_http_callers_have_deadlines(strict: RunningServer, header: str, status: int) -> None:
    reply = httpx.post(f"{strict.http}/simulate", content=BODY, headers={"X-Zdc-Timeout-Ms": header})
    assert reply.status_code == status
    if status == 504:
        assert reply.json()["error"]["kind"] == "deadline"
