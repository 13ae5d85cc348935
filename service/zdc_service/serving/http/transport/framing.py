"""Where requests begin and end in the bytes of a connection, strictly as RFC 9112 has it."""

from typing import NamedTuple, Protocol
from urllib.parse import unquote

import httptools

#: Most bytes of a request's line and headers.
HEAD_BYTES = 64 * 1024


class MalformedError(Exception):
    """What was sent is no HTTP/1.1; nothing behind it can be understood either."""

    def __init__(self, message: str, status: int = 400, kind: str = "bad_request"):
        super().__init__(message)
        self.status, self.kind = status, kind


class RequestHead(NamedTuple):
    """Line and headers of a request, names in lower case.

    Attributes
    ----------
    length : Bytes of the body as declared; None if they come in chunks.
    expects_continue : Whether the caller waits for 100 Continue before it sends the body.
    keep_alive : Whether the caller may send another request afterwards.
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
        """Bytes of the line and the headers, nearly."""
        return len(self.raw_path) + len(self.query) + sum(len(name) + len(value) + 4 for name, value in self.headers)


class Reading(Protocol):
    """Who takes what is read."""

    def on_head(self, head: RequestHead) -> None:
        """A request begins."""

    def on_body(self, data: bytes) -> None:
        """Some bytes of its body."""

    def on_end(self) -> None:
        """The request is whole."""


class RequestReader:
    """Cuts the bytes of a connection into requests with llhttp, Node's parser, in its strict mode.

    Offers to upgrade are passed over, as RFC 9110 (7.8) lets a server do; httptools takes all that follows one for
    another protocol, also the request's own body.
    """

    def __init__(self, reading: Reading):
        self._reading = reading
        self.on_body = reading.on_body  # before the parser, which looks for it once
        self._parser = httptools.HttpRequestParser(self)
        self._over = False  # what follows is not to be answered
        self._keep_alive = True
        self._in_head = False
        self._offered = False
        self._forget_head()

    def feed(self, data: bytes) -> None:
        """Read some bytes; raises MalformedError if they are no HTTP/1.1."""
        parts: list[bytes | memoryview] = [data]
        while parts and not self._over:
            part = parts.pop()
            try:
                self._parser.feed_data(part)
            except httptools.HttpParserUpgrade as offer:
                parts += [memoryview(part)[offer.args[0] :], self._head_without_offer()]
                self._parser = httptools.HttpRequestParser(self)
            except httptools.HttpParserError as error:
                if self._over:  # what the parser stumbles over comes after the last request
                    return
                raise _cause(error) from None

    def stop(self, after_this: bool = False) -> None:
        """Take what follows, or what follows the request that is being read, for no request."""
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
        """The head as if nothing had been offered, to be read once more."""
        version = self._parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self._parser.get_method(), self._target, version)]
        lines += [name + b": " + value for name, value in self._headers if name != b"upgrade"]
        self._offered = False
        return b"\r\n".join([*lines, b"", b""])

    # What httptools calls.

    def on_message_begin(self) -> None:
        """Forget the request before; stop where none may follow."""
        if self._over:
            raise MalformedError("nothing may follow the last request")
        self._forget_head()
        self._in_head = True

    def on_url(self, part: bytes) -> None:
        """Collect the target."""
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header; trailers of a body in chunks are passed over."""
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
        """Check the head and hand it on."""
        parser = self._parser
        version = parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise MalformedError("send HTTP/1.1 or HTTP/1.0", 505, "http_version_not_supported")
        if parser.should_upgrade():
            if parser.get_method() == b"CONNECT":
                raise MalformedError("CONNECT is for proxies", 405, "method_not_allowed")
            self._offered = True
            return
        if self._hosts != 1 and (version == "1.1" or self._hosts):
            raise MalformedError(f"a request has one Host header; this one has {self._hosts}")
        if self._codings and self._codings != [b"chunked"]:  # the parser looks at the last one alone
            raise MalformedError("the only Transfer-Encoding that is read is chunked", 501, "not_implemented")
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
        """Hand on that the request is whole."""
        if self._offered:
            return
        self._over = self._over or not self._keep_alive
        self._reading.on_end()

    def _split_target(self) -> tuple[str, bytes]:
        """Path and query; the host of a whole URL, as proxies get it, counts in place of the header."""
        target = self._target
        try:
            if target.startswith(b"/") or target == b"*":
                if b"#" in target:
                    raise MalformedError("the target of a request has no fragment (#)")
                path, _, query = target.partition(b"?")
                return path.decode("ascii"), query
            url = httptools.parse_url(target)
            authority = url.host if url.port is None else b"%s:%d" % (url.host, url.port)
            self._headers = [(n, authority if n == b"host" else v) for n, v in self._headers]
            return (url.path or b"/").decode("ascii"), url.query or b""
        except (httptools.HttpParserError, UnicodeDecodeError, TypeError) as error:
            raise MalformedError("the target of the request is no path and no URL in ASCII") from error


def _cause(error: httptools.HttpParserError) -> BaseException:
    """What a callback raised, or what the parser found."""
    if isinstance(error, httptools.HttpParserCallbackError) and error.__context__ is not None:
        return error.__context__
    return MalformedError(f"the request breaks the rules of HTTP/1.1: {error}"[:200])
