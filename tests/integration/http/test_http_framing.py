"""Boundaries of requests: ambiguous requests are refused, and nothing after them is answered."""

import json

import pytest
from helpers.callers.raw_http import exchanged
from helpers.servers.running_server import RunningServer

BODY = json.dumps(
    {"particles": [{"pdg": 2112, "px": 0, "py": 0, "pz": 1000}], "seed": 1, "output": "channels"}
).encode()
POST = b"POST /simulate HTTP/1.1\r\nHost: localhost\r\n"
#: What a body would hide: one that is answered tells that the body was read as requests.
HIDDEN = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
UPGRADES = [
    b"Connection: upgrade\r\nUpgrade: websocket\r\n",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    b"Upgrade: h2c\r\nConnection: keep-alive\r\nConnection: upgrade\r\n",
]


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5\r\nContent-Length: 5\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: -5\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: 5 5\r\n",
        b"Content-Length: 5e0\r\n",
        b"Content-Length:\r\n",
        b"Content-Length: 99999999999999999999999999\r\n",
        b"Content-Length : 5\r\n",
        b" Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n",
        b"X: a\r\n Content-Length: 5\r\n",  # a folded line, which others may take for a header
        b"X: a\nContent-Length: 5\r\n",
        b"X: a\rContent-Length: 5\r\n",
        b"X: a\x00b\r\n",
        b"X\x00: a\r\n",
        b"X\r\n",
        b": a\r\n",
        b"Host: there\r\n",
    ],
)
def test_an_unclear_head_is_refused(server: RunningServer, head: bytes) -> None:
    (answer,) = exchanged(server, POST + head + b"\r\n" + HIDDEN)
    assert (answer.status, answer.headers["connection"]) == (400, "close")
    assert answer.message


@pytest.mark.parametrize(
    "codings",
    [
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: identity, chunked\r\n",
        b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: , chunked\r\n",
    ],
)
@pytest.mark.parametrize("offer", [b"", UPGRADES[0]])
def test_a_body_in_another_coding_is_not_read_as_it_is(server: RunningServer, codings: bytes, offer: bytes) -> None:
    (answer,) = exchanged(server, POST + offer + codings + b"\r\n" + chunked(BODY) + HIDDEN)
    assert (answer.status, answer.headers["connection"]) == (501, "close")


@pytest.mark.parametrize(
    "request_line",
    [
        b"POST /simulate HTTP/1.1\n",
        b"POST /simulate HTTP/1.1 \r\n",
        b"POST /simulate HTTP/9.9\r\n",
        b"POST /simulate#part HTTP/1.1\r\n",
        b"POST simulate HTTP/1.1\r\n",
        b"POST /simul\xc3\xa4te HTTP/1.1\r\n",
        b"POST /simu\x00late HTTP/1.1\r\n",
        b"post /simulate HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\r\n",
    ],
)
def test_an_unclear_line_is_refused(server: RunningServer, request_line: bytes) -> None:
    (answer,) = exchanged(server, request_line + b"Host: localhost\r\nContent-Length: 0\r\n\r\n")
    assert answer.status == 400


@pytest.mark.parametrize("request_line", [b"GET /livez\r\n", b"GET /livez HTTP/0.9\r\n", b"GET /livez HTTP/2.0\r\n"])
def test_other_versions_are_refused(server: RunningServer, request_line: bytes) -> None:
    (answer,) = exchanged(server, request_line + b"Host: localhost\r\n\r\n" + HIDDEN)
    assert (answer.status, answer.message) == (505, "send HTTP/1.1 or HTTP/1.0")


@pytest.mark.parametrize(
    "body",
    [
        b"g\r\n",
        b"-1\r\n",
        b"0x1\r\na\r\n0\r\n\r\n",
        b"ffffffffffffffffff\r\n",
        b" 1\r\na\r\n0\r\n\r\n",
        b"1 \r\na\r\n0\r\n\r\n",
        b"1\na\r\n0\r\n\r\n",
        b"1\r\na\n0\r\n\r\n",
        b"1\r\nab\r\n0\r\n\r\n",
        b"1;a\nb\r\na\r\n0\r\n\r\n",
        b"0\r\n X: folded\r\n\r\n",
    ],
)
def test_unclear_chunks_are_refused(server: RunningServer, body: bytes) -> None:
    (answer,) = exchanged(server, POST + b"Transfer-Encoding: chunked\r\n\r\n" + body + HIDDEN)
    assert answer.status == 400


def test_chunks_with_extensions_and_trailers_are_read(server: RunningServer) -> None:
    """Trailers are not headers of this request or the next one."""
    chunks = b'%x;name=value;other="quoted"\r\n%s\r\n' % (len(BODY), BODY)
    trailers = b"0\r\nAccept: image/png\r\nX-Zdc-Timeout-Ms: wrong\r\n\r\n"
    sent = POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + trailers
    answers = exchanged(server, sent + POST + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY + LAST)
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert answers[0].body == answers[1].body


@pytest.mark.parametrize("offer", UPGRADES)
@pytest.mark.parametrize("apart", [False, True])
def test_an_offer_to_upgrade_is_ignored_and_its_body_read(server: RunningServer, offer: bytes, apart: bool) -> None:
    """The body arrives together with the head or later, with Content-Length or chunked; the next request is read."""
    head = POST + offer + b"Content-Length: %d\r\n\r\n" % len(BODY)
    hidden = POST.replace(b"/simulate", b"/models") + offer + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(HIDDEN)
    get = HIDDEN.replace(b"\r\n\r\n", b"\r\n" + offer + b"\r\n")
    sent = [head + BODY + hidden + get + LAST]
    if apart:
        sent = [get + head, BODY + hidden[:90], hidden[90:] + LAST]
    answers = exchanged(server, *sent)
    assert sorted(answer.status for answer in answers) == [200, 200, 200, 405]
    assert b'"seed":1' in b"".join(answer.body for answer in answers)


def test_an_offer_does_not_make_an_unclear_head_clear(server: RunningServer) -> None:
    for head in (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"Host: there\r\n"):
        (answer,) = exchanged(server, POST + UPGRADES[0] + head + b"\r\n" + HIDDEN)
        assert answer.status == 400


@pytest.mark.parametrize("hosts", [b"", b"Host: a\r\nHost: b\r\n", b"Host: a\r\nHost: a\r\n"])
def test_a_request_names_one_host(server: RunningServer, hosts: bytes) -> None:
    (answer,) = exchanged(server, b"GET /livez HTTP/1.1\r\n" + hosts + b"\r\n" + HIDDEN)
    assert (answer.status, answer.headers["connection"]) == (400, "close")
    assert "one Host header" in answer.message


def test_http_1_0_needs_no_host_and_ends_the_connection(server: RunningServer) -> None:
    (answer,) = exchanged(server, b"GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + HIDDEN)
    assert (answer.status, answer.headers["connection"]) == (200, "close")


def test_connect_is_refused(server: RunningServer) -> None:
    (answer,) = exchanged(server, b"CONNECT here:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n" + HIDDEN)
    assert answer.status == 405


def test_a_whole_url_is_taken_as_its_path(server: RunningServer) -> None:
    (answer,) = exchanged(server, LAST.replace(b"/readyz", b"http://127.0.0.1/readyz?a=b"))
    assert answer.status == 200


def test_messages_do_not_repeat_the_request(server: RunningServer) -> None:
    (answer,) = exchanged(server, b"GET nonsense" + b"x" * 5000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.status == 400
    assert len(answer.message) < 200
    assert "xxx" not in answer.message
