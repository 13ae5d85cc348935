"""Connections in a TLS handshake are connections."""

import socket
import ssl
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from helpers.callers.raw_http import answers_in, opened, received
from helpers.servers.certificates import Authority
from helpers.servers.running_server import running
from helpers.waiting import wait_until

GET = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_handshakes_count_as_connections_and_make_room_when_they_end(
    models_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path)
    pair = authority.server(tmp_path, "localhost")
    context = ssl.create_default_context(cafile=authority.file)
    options = {"tls_certificate": pair.certificate, "tls_key": pair.key, "max_connections": 3, "header_seconds": 30.0}
    with ExitStack() as stack:
        with running(models_folder, **options) as server:

            def status(path: bytes) -> int:
                with opened(server) as plain, context.wrap_socket(plain, server_hostname="localhost") as caller:
                    caller.sendall(GET % path)
                    data = caller.recv(65536)
                return int(data.split()[1])

            def shaking_hands() -> int:
                return server.server.http_connections

            silent = [stack.enter_context(opened(server)) for _ in range(3)]
            wait_until(lambda: shaking_hands() == 3)
            assert (status(b"/models"), status(b"/livez")) == (503, 200)
            # No TLS; has left; has reset the connection.
            silent[0].sendall(b"GET / HTTP/1.1\r\n\r\n")
            silent[1].shutdown(socket.SHUT_WR)
            silent[2].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            silent[2].close()
            wait_until(lambda: shaking_hands() == 0)
            assert status(b"/models") == 200
            for _ in range(200):
                stack.enter_context(opened(server))
            wait_until(lambda: shaking_hands() <= 3 + 64)
            assert status(b"/livez") == 200
            began = time.monotonic()
        assert time.monotonic() - began < 15.0  # the end does not wait for handshakes
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_large_answers_are_complete(models_folder: Path, tmp_path: Path) -> None:
    """Also for a client that pauses at the end for longer than the limit for closing TLS."""
    authority = Authority(tmp_path)
    pair = authority.server(tmp_path, "localhost")
    context = ssl.create_default_context(cafile=authority.file)
    body = b'{"particles": [{"pdg": 2112, "px": 0, "py": 0, "pz": 1000}], "repeats": 2000, "seed": 1}'
    head = b"POST /simulate HTTP/1.1\r\nHost: localhost\r\nAccept: application/octet-stream\r\nConnection: close\r\n"
    with running(models_folder, tls_certificate=pair.certificate, tls_key=pair.key, threads=2) as server:
        with opened(server) as plain, context.wrap_socket(plain, server_hostname="localhost") as caller:
            caller.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            first = caller.recv(1)
            budget = server.server.budget
            wait_until(lambda: budget.held > 1_000_000)  # it waits for its reader
            while budget.held:
                first += caller.recv(4096)
            assert len(first) < 2000 * 44 * 44 * 2
            time.sleep(1.5)
            (answer,) = answers_in(first + received(caller))
        assert (answer.status, len(answer.body)) == (200, 2000 * 44 * 44 * 2)
        assert budget.held == 0
