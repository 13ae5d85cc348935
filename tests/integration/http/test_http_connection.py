"""HTTP connections: HEAD, 100 Continue, half-closed connections, pipelining, and their end."""

import json
import socket
from pathlib import Path

import pytest
from helpers.callers.raw_http import PATIENCE, answers_in, exchanged, opened, received
from helpers.servers.running_server import RunningServer, running
from helpers.waiting import wait_until

BODY = json.dumps(
    {"particles": [{"pdg": 2112, "px": 0, "py": 0, "pz": 1000}], "seed": 1, "output": "channels"}
).encode()
POST = b"POST /simulate HTTP/1.1\r\nHost: localhost\r\n"
GET = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
WHOLE = POST + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


@pytest.mark.parametrize(
    "path",
    ["/livez", "/readyz", "/metrics", "/models", "/", "/docs", "/v2", "/v2/health/live", "/v2/models/tiny", "/no"],
)
def test_head_has_no_body(server: RunningServer, path: str) -> None:
    """Therefore the client finds the next answer."""
    head = f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    answers = exchanged(server, head + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), methods="HEAD GET")
    assert len(answers) == 2
    assert answers[1].body == b'{"status":"alive"}'


def test_head_has_no_body_if_it_is_refused(models_folder: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("alice-0123456789abcdef\n")
    with running(models_folder, token_files=[tokens], max_connections=1) as server:
        head = b"HEAD /models HTTP/1.1\r\nHost: localhost\r\n\r\n"
        last = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        answers = exchanged(server, head + last, methods="HEAD GET")
        assert [(answer.status, answer.body) for answer in answers] == [(401, b""), (200, b'{"status":"alive"}')]
        with opened(server) as first:
            first.sendall(GET)
            assert first.recv(65536).startswith(b"HTTP/1.1 200")
            with opened(server) as surplus:
                surplus.sendall(head)
                assert received(surplus).endswith(b"\r\n\r\n")


def test_connection_close_is_kept(server: RunningServer) -> None:
    for request in (WHOLE, GET):
        closing = request.replace(b"Host: localhost", b"Host: localhost\r\nConnection: close", 1)
        (answer,) = exchanged(server, closing + GET)
        assert (answer.status, answer.headers["connection"]) == (200, "close")


@pytest.mark.parametrize("request_", [WHOLE, GET, GET + WHOLE + GET])
def test_a_client_that_has_only_finished_sending_is_answered(server: RunningServer, request_: bytes) -> None:
    for _ in range(20):
        with opened(server) as connection:
            connection.sendall(request_)
            connection.shutdown(socket.SHUT_WR)
            answers = answers_in(received(connection))
        assert [answer.status for answer in answers] == [200] * request_.count(b"HTTP/1.1")


def test_he_is_answered_though_it_takes_long(server: RunningServer) -> None:
    """The wait is longer than the check whether the client is there; the check does not change the answer."""
    body = json.dumps(json.loads(BODY) | {"repeats": 2000}).encode()
    request = POST + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with opened(server) as patient, opened(server) as finished:
        finished.sendall(request)
        finished.shutdown(socket.SHUT_WR)
        patient.sendall(request.replace(b"Host: localhost", b"Host: localhost\r\nConnection: close"))
        one, other = answers_in(received(patient)), answers_in(received(finished))
    assert one[0].status == 200
    assert one[0].body == other[0].body


def test_an_invalid_request_keeps_earlier_answers(server: RunningServer) -> None:
    answers = exchanged(server, WHOLE + GET + b"nonsense\r\n\r\n" + GET)
    assert [answer.status for answer in answers] == [200, 200, 400]
    assert b'"seed":1' in answers[0].body
    assert [answer.headers.get("connection") for answer in answers] == [None, None, "close"]
    answers = exchanged(server, WHOLE + POST + b"Transfer-Encoding: chunked\r\n\r\nwrong\r\n")
    assert [answer.status for answer in answers] == [200, 400]


def test_too_many_pipelined_requests_are_not_answered(server: RunningServer) -> None:
    answers = exchanged(server, GET * 500)
    assert 100 <= len(answers) < 500
    assert answers[-1].headers["connection"] == "close"


def test_continue_is_said_before_the_body_is_sent(server: RunningServer) -> None:
    head = POST + b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    assert [answer.status for answer in exchanged(server, head, BODY)] == [100, 200]


def test_too_large_bodies_get_no_continue(server: RunningServer) -> None:
    """No 100 Continue is sent; the client may still send the body."""
    limit = 3000 * 512
    head = POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % (limit + 1)
    for sent in (head, head + bytes(limit + 1)):
        (answer,) = exchanged(server, sent)
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert f"more than {limit} bytes" in answer.message
    (answer,) = exchanged(server, head.replace(b"/simulate", b"/models").replace(b"%d" % (limit + 1), b"1000"))
    assert (answer.status, answer.headers["connection"]) == (405, "close")


def test_a_declared_length_above_the_limit_is_refused_at_once(server: RunningServer) -> None:
    (answer,) = exchanged(server, POST + b"Content-Length: 1000000000000\r\n\r\n")
    assert answer.status == 413


def test_bytes_around_chunks_have_a_limit(server: RunningServer) -> None:
    """Chunk headers are not part of the body and would have no limit."""
    head = POST + b"Transfer-Encoding: chunked\r\n\r\n"
    for endless in (b"1;" + b"x" * 400_000, b"0\r\nX: " + b"x" * 400_000):
        (answer,) = exchanged(server, head + endless)
        assert answer.status == 431


def test_probes_are_answered_beyond_all_connections(models_folder: Path) -> None:
    """Even if many idle connections exceed the maximum: the oldest of them are closed."""
    with running(models_folder, max_connections=2) as server:
        others = [opened(server) for _ in range(200)]
        for _ in range(20):
            with opened(server) as probe:
                probe.sendall(GET.replace(b"livez", b"readyz"))
                (answer,) = answers_in(received(probe))
                assert (answer.status, answer.headers["connection"]) == (200, "close")
        others[0].sendall(GET)
        assert others[0].recv(65536).startswith(b"HTTP/1.1 200")
        for other in others:
            other.close()
        wait_until(lambda: b"close" not in answer_to_one(server))  # they are counted no more


def answer_to_one(server: RunningServer) -> bytes:
    with socket.create_connection(("127.0.0.1", server.server.http_port), timeout=PATIENCE) as connection:
        connection.sendall(GET)
        return connection.recv(65536)
