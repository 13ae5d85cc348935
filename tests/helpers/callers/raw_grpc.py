"""A gRPC caller made of HTTP/2 frames, for behaviour that no library allows: never read, never end a message."""

import socket
import struct
import time
from types import TracebackType
from typing import Self

import h2.config
import h2.connection
import h2.events
from h2.settings import SettingCodes
from helpers.waiting import PATIENCE


def framed(message: bytes, length: int | None = None) -> bytes:
    """A message in gRPC's frame; if `length` is larger than the message, it never ends."""
    return struct.pack("!BI", 0, len(message) if length is None else length) + message


class RawCaller:
    """One connection.

    Attributes
    ----------
    events : Events from the server.
    received : Bytes from the server.
    open : Whether the server has not ended the connection.
    """

    def __init__(self, port: int, window: int | None = None, buffer: int | None = None):
        """Connect. With `window` 0, the server cannot send a byte of an answer; the default is never enlarged.

        `buffer` is the size of the socket's receive buffer [bytes].
        """
        self.events: list[h2.events.Event] = []
        self.received = b""
        self.open = True
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        if buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self._connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._connection.initiate_connection()
        if window is not None:
            self._connection.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window})
        self._flush()
        self.wait_for(h2.events.SettingsAcknowledged)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _t: TracebackType | None
    ) -> None:
        self._socket.close()

    def call(self, method: str, body: bytes = b"", end: bool = False) -> int:
        """Begin a call, and send as much of `body` as the server accepts; returns the stream's number."""
        stream = self._connection.get_next_available_stream_id()
        head = {":method": "POST", ":scheme": "http", ":path": method, ":authority": "here", "te": "trailers"}
        self._connection.send_headers(stream, [*head.items(), ("content-type", "application/grpc")])
        self._flush()
        self.send(stream, body, end)
        return stream

    def send(self, stream: int, body: bytes, end: bool = False) -> None:
        """Send more of a call, within the server's window."""
        while body:
            size = min(
                len(body), self._connection.local_flow_control_window(stream), self._connection.max_outbound_frame_size
            )
            if size == 0:
                self._receive()
                continue
            self._connection.send_data(stream, body[:size])
            self._flush()
            body = body[size:]
        if end:
            self._connection.end_stream(stream)
            self._flush()

    def ping(self) -> None:
        """Ping the server, as clients do to detect a broken connection."""
        self._connection.ping(bytes(8))
        self._flush()

    def read_on(self, stream: int) -> None:
        """Enlarge the window of a call by 16 MB."""
        for number in (0, stream):
            self._connection.increment_flow_control_window(16_000_000, number or None)
        self._flush()

    def wait_for(self, kind: type[h2.events.Event], stream: int | None = None) -> h2.events.Event:
        """The first event of a kind, and of a stream; fails if it does not come in time."""
        until = time.monotonic() + PATIENCE
        while True:
            for event in self.events:
                if isinstance(event, kind) and stream in (None, getattr(event, "stream_id", None)):
                    return event
            assert self.open, f"the connection has ended, without {kind.__name__}"
            assert time.monotonic() < until, f"{kind.__name__} did not come"
            self._receive()

    def trailers(self, stream: int) -> dict[str, str]:
        """The trailers with which the server ends a call."""
        head: dict[str, str] = {}
        self.wait_for(h2.events.StreamEnded, stream)
        for event in self.events:
            if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived) and event.stream_id == stream:
                head |= {str(name): str(value) for name, value in event.headers or ()}
        return head

    def _receive(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            self.open = False
            return
        self.received += data
        self.events += self._connection.receive_data(data)
        self._flush()

    def _flush(self) -> None:
        self._socket.sendall(self._connection.data_to_send())
