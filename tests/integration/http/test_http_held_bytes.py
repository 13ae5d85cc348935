"""Limits on the memory for unread answers and incomplete bodies."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from helpers.callers.raw_http import PATIENCE, answers_in, opened, received
from helpers.servers.running_server import RunningServer, running
from helpers.waiting import wait_until

MEGABYTE = 1024 * 1024
#: Bytes of one dense answer of `ROWS` rows.
ROWS = 2000
ANSWER_BYTES = ROWS * 44 * 44 * 2
POST = b"POST /simulate HTTP/1.1\r\nHost: localhost\r\nAccept: application/octet-stream\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture(scope="module")
def small(models_folder: Path) -> Iterator[RunningServer]:
    with running(models_folder, max_held_bytes=20 * MEGABYTE, threads=2) as server:
        yield server


def held(server: RunningServer) -> int:
    return server.server.budget.held


def request_of(rows: int = ROWS) -> bytes:
    particle = {"pdg": 2112, "px": 0, "py": 0, "pz": 1000}
    body = json.dumps({"particles": [particle], "repeats": rows, "seed": 1}).encode()
    return POST % len(body) + body


def asked(server: RunningServer, rows: int = ROWS) -> socket.socket:
    """A client that reads nothing, with small buffers in its system."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(PATIENCE)
    connection.connect(("127.0.0.1", server.server.http_port))
    connection.sendall(request_of(rows).replace(b"Host", b"Connection: close\r\nHost"))
    return connection


def test_unread_answers_have_a_budget(small: RunningServer) -> None:
    """Answers above the budget are refused, and are possible again after the others have been read."""
    with ExitStack() as stack:
        unread = [stack.enter_context(asked(small)) for _ in range(6)]
        heads = [connection.recv(17) for connection in unread]
        taken = heads.count(b"HTTP/1.1 200 OK\r\n")
        assert heads.count(b"HTTP/1.1 429 Too ") == 6 - taken
        assert 2 <= taken < 6
        assert ANSWER_BYTES < held(small) <= 20 * MEGABYTE
        for head, connection in zip(heads, unread, strict=True):
            (answer,) = answers_in(head + received(connection))
            if answer.status == 200:
                assert len(answer.body) == ANSWER_BYTES
            else:
                assert answer.headers["retry-after"] == "1"
                assert "unread answers fill the" in answer.message
        wait_until(lambda: held(small) == 0)
        with asked(small) as again:
            assert received(again).startswith(b"HTTP/1.1 200")


def test_small_answers_need_no_room(small: RunningServer) -> None:
    with ExitStack() as stack:
        unread = [stack.enter_context(asked(small)) for _ in range(6)]
        for connection in unread:
            connection.recv(17)
        with asked(small, 1) as one:
            assert received(one).startswith(b"HTTP/1.1 200")
    wait_until(lambda: held(small) == 0)  # all have left


def test_incomplete_bodies_have_a_budget(small: RunningServer) -> None:
    size = 6 * MEGABYTE
    with ExitStack() as stack:
        callers = [stack.enter_context(opened(small)) for _ in range(5)]
        for number, caller in enumerate(callers):
            caller.sendall(POST % (size + 1) + bytes(size))
            if number < 3:
                wait_until(lambda count=number + 1: held(small) >= count * (size - 65536))  # type: ignore[misc]
        for caller in callers[3:]:
            caller.shutdown(socket.SHUT_WR)
            (answer,) = answers_in(received(caller))
            assert (answer.status, answer.headers["connection"]) == (429, "close")
            assert answer.headers["retry-after"] == "1"
            assert "--max-held-bytes" in answer.message
        assert held(small) <= 20 * MEGABYTE
    wait_until(lambda: held(small) == 0)


def test_the_slowest_reader_makes_room_for_others(models_folder: Path) -> None:
    """A client that reads a few bytes from time to time would otherwise hold the budget for ever."""
    size = 4 * ANSWER_BYTES
    with running(models_folder, max_held_bytes=size + MEGABYTE, body_seconds=1.0) as server, opened(server) as slow:
        slow.sendall(request_of(4 * ROWS).replace(b"Host", b"Connection: close\r\nHost"))
        assert slow.recv(17).startswith(b"HTTP/1.1 200")
        read, began = 0, time.monotonic()
        while time.monotonic() < began + 2.0:  # twice the longest time without progress
            read += len(slow.recv(100_000))
            time.sleep(0.02)
        assert held(server) == size
        with asked(server) as other:
            assert other.recv(12) == b"HTTP/1.1 429"
        with contextlib.suppress(ConnectionResetError):
            read += len(received(slow))
        assert read < size
        wait_until(lambda: held(server) == 0)
        with asked(server) as other:
            assert other.recv(12) == b"HTTP/1.1 200"
