"""Splits the bytes of a connection into HTTP/1.1 requests, strictly according to RFC 9112."""

from typing import NamedTuple, Protocol
from urllib.parse import unquote

import httptools

#: Maximum size of a request's line and headers in bytes.
HEAD_BYTES = 64 * 1024


class MalformedError(Exception):
    """The bytes are not valid HTTP/1.1; the bytes after them cannot be parsed either."""

    def __init__(self, message: str, status: int = 400, kind: str = "bad_request"):
        super().__init__(message)
        self.status, self.kind = status, kind


class RequestHead(NamedTuple):
    """Line and headers of a request, names in lower case.

    Attributes
    ----------
    length : Declared size of the body in bytes; None if the body comes in chunks.
    expects_continue : Whether the client waits for 100 Continue before it sends the body.
    keep_alive : Whether the client may send another request afterwards.
    """

    method: str
    path: str
    raw_path: bytes
    query: bytes
    version: str
    headers: list[tuple[bytes, bytes]]
    length: int | None
    expects_continue: bool
    keep_alive: bool

    @property
    def size(self) -> int:
        """Approximate size of the line and the headers in bytes."""
        return len(self.raw_path) + len(self.query) + sum(len(name) + len(value) + 4 for name, value in self.headers)


class Reading(Protocol):
    """Receives the parsed requests."""

    def on_head(self, head: RequestHead) -> None:
        """A request begins."""

    def on_body(self, data: bytes) -> None:
        """A part of the request's body has arrived."""

    def on_end(self) -> None:
        """The request is complete."""


class RequestReader:
    """Splits the bytes of a connection into requests with llhttp (the parser of Node.js) in its strict mode.

    Upgrade headers are ignored, which RFC 9110 (section 7.8) allows. httptools would treat all bytes after such a
    header as another protocol, even the request's own body.
    """

    def __init__(self, reading: Reading):
        self._reading = reading
        self.on_body = reading.on_body  # must be set before the parser is made, which looks it up only once
        self._parser = httptools.HttpRequestParser(self)
        self._over = False  # further requests are not answered
        self._keep_alive = True
        self._in_head = False
        self._offered = False
        self._forget_head()

    def feed(self, data: bytes) -> None:
        """Parse some bytes; raises MalformedError if they are not valid HTTP/1.1."""
        parts: list[bytes | memoryview] = [data]
        while parts and not self._over:
            part = parts.pop()
            try:
                self._parser.feed_data(part)
            except httptools.HttpParserUpgrade as offer:
                parts += [memoryview(part)[offer.args[0] :], self._head_without_offer()]
                self._parser = httptools.HttpRequestParser(self)
            except httptools.HttpParserError as error:
                if self._over:  # the invalid bytes come after the last request
                    return
                raise _cause(error) from None

    def stop(self, after_this: bool = False) -> None:
        """Ignore all further bytes; with `after_this`, only those after the request that is being read."""
        if after_this:
            self._keep_alive = False
        else:
            self._over = True

    def _forget_head(self) -> None:
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._hosts = 0
        self._length: int | None = 0
        self._codings: list[bytes] = []
        self._expects = False

    def _head_without_offer(self) -> bytes:
        """The head without its Upgrade header, to be parsed once more."""
        version = self._parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self._parser.get_method(), self._target, version)]
        lines += [name + b": " + value for name, value in self._headers if name != b"upgrade"]
        self._offered = False
        return b"\r\n".join([*lines, b"", b""])

    # Callbacks of httptools.

    def on_message_begin(self) -> None:
        """Forget the previous request; refuse the new one if the connection is to be closed."""
        if self._over:
            raise MalformedError("no request may follow the last one")
        self._forget_head()
        self._in_head = True

    def on_url(self, part: bytes) -> None:
        """Add a part of the request's target."""
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header; trailers after a chunked body are ignored."""
        if not self._in_head:
            return
        name = name.lower()
        if name == b"host":
            self._hosts += 1
        elif name == b"content-length":
            self._length = int(value)
        elif name == b"transfer-encoding":
            self._length = None
            self._codings.append(value.lower())
        elif name == b"expect":
            self._expects = value.lower() == b"100-continue"
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Check the head and pass it on."""
        parser = self._parser
        version = parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise MalformedError("send HTTP/1.1 or HTTP/1.0", 505, "http_version_not_supported")
        if parser.should_upgrade():
            if parser.get_method() == b"CONNECT":
                raise MalformedError("CONNECT is not supported: this server is not a proxy", 405, "method_not_allowed")
            self._offered = True
            return
        if self._hosts != 1 and (version == "1.1" or self._hosts):
            raise MalformedError(f"a request must have one Host header; this one has {self._hosts}")
        if self._codings and self._codings != [b"chunked"]:  # the parser checks only the last one
            raise MalformedError("the only supported Transfer-Encoding is chunked", 501, "not_implemented")
        self._in_head = False
        path, query = self._split_target()
        modern = version == "1.1"
        self._keep_alive = modern and parser.should_keep_alive()
        self._reading.on_head(
            RequestHead(
                parser.get_method().decode("ascii"),
                unquote(path) if "%" in path else path,
                path.encode("ascii"),
                query,
                version,
                self._headers,
                self._length,
                self._expects and modern and self._length != 0,
                self._keep_alive,
            )
        )

    def on_message_complete(self) -> None:
        """Report that the request is complete."""
        if self._offered:
            return
        self._over = self._over or not self._keep_alive
        self._reading.on_end()

    def _split_target(self) -> tuple[str, bytes]:
        """Path and query. If the target is a complete URL, as proxies get it, its host replaces the Host header."""
        target = self._target
        try:
            if target.startswith(b"/") or target == b"*":
                if b"#" in target:
                    raise MalformedError("the target of a request must not have a fragment (#)")
                path, _, query = target.partition(b"?")
                return path.decode("ascii"), query
            url = httptools.parse_url(target)
            authority = url.host if url.port is None else b"%s:%d" % (url.host, url.port)
            self._headers = [(n, authority if n == b"host" else v) for n, v in self._headers]
            return (url.path or b"/").decode("ascii"), url.query or b""
        except (httptools.HttpParserError, UnicodeDecodeError, TypeError) as error:
            raise MalformedError("the target of the request must be a path or a URL, in ASCII") from error


def _cause(error: httptools.HttpParserError) -> BaseException:
    """The exception that a callback raised, or an error with the parser's message."""
    if isinstance(error, httptools.HttpParserCallbackError) and error.__context__ is not None:
        return error.__context__
    return MalformedError(f"the request is not valid HTTP/1.1: {error}"[:200])
