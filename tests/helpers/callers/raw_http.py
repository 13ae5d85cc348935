"""HTTP as bytes: requests that no client library sends, and unparsed answers."""

import json
import socket
from dataclasses import dataclass
from typing import Any

from helpers.servers.running_server import RunningServer

PATIENCE = 30.0


@dataclass(frozen=True)
class Answer:
    """One answer of several on a connection."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> str:
        """The message of an error."""
        error: Any = json.loads(self.body)["error"]
        return str(error if isinstance(error, str) else error["message"])


def opened(server: RunningServer) -> socket.socket:
    """A connection to a server."""
    return socket.create_connection(("127.0.0.1", server.server.http_port), timeout=PATIENCE)


def received(connection: socket.socket) -> bytes:
    """All bytes until the server closes."""
    data = b""
    while part := connection.recv(65536):
        data += part
    return data


def exchanged(server: RunningServer, *sent: bytes, methods: str = "") -> list[Answer]:
    """Send, then read until the server closes.

    Parameters
    ----------
    server : Address of the server.
    sent : Parts to send; each is sent after the first bytes of the answer to the previous one.
    methods : Methods of the requests, e.g. "HEAD GET"; answers to HEAD have no body. Default: all have one.
    """
    data = b""
    with opened(server) as connection:
        for part in sent:
            if part is not sent[0]:
                data += connection.recv(65536)
            connection.sendall(part)
        data += received(connection)
    return answers_in(data, methods)


def answers_in(data: bytes, methods: str = "") -> list[Answer]:
    """Divide received bytes into answers with Content-Length; fails if bytes are left."""
    answers, order = [], methods.split()
    while data:
        head, found, rest = data.partition(b"\r\n\r\n")
        assert found, data
        first, *lines = head.decode().split("\r\n")
        version, status, _ = first.split(" ", 2)
        assert version == "HTTP/1.1"
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        bodyless = (order.pop(0) if order else "") == "HEAD" or int(status) < 200
        length = 0 if bodyless else int(headers["content-length"])
        assert len(rest) >= length
        answers.append(Answer(int(status), headers, rest[:length]))
        data = rest[length:]
    return answers
