"""One simulation over HTTP, from the request's body to the reply."""

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial

from starlette.types import Receive
from zdc_common.errors import TooLargeError

from zdc_service.codecs import ZSTD, Form, check_form, choose_form, compress, encode
from zdc_service.deadlines import TIMEOUT_HEADER, deadline_from
from zdc_service.serving.http.content_coding import IDENTITY, coding_of, unpacked
from zdc_service.serving.http.errors import error_reply, log_internal
from zdc_service.serving.http.reply import SERVER_TIMING, Reply, server_timing
from zdc_service.serving.tracing import trace_reply
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import SimulationRequest, SimulationResult
from zdc_service.status import kind_of

#: From a body, and the most rows that a request may have, to the request.
Parse = Callable[[bytes, int], SimulationRequest]

#: Bodies and answers above this are parsed and encoded on another thread, so that the event loop serves others.
LARGE_BYTES = 64 * 1024
#: Requests that wait longer are dropped where the caller hangs up; looking out for that costs as much as a response.
_WATCH_AFTER_SECONDS = 0.01
#: What proxies log where a caller hung up; nobody receives it.
NOBODY_RECEIVES = Reply(499)

_TIMEOUT = TIMEOUT_HEADER.lower()


class Exchange:
    """Answers simulation requests; every door of the HTTP server leads here."""

    def __init__(self, simulator: Simulator, body_limit: int, request_seconds: float | None):
        """`body_limit` in bytes, also of what a compressed body unpacks to; `request_seconds` until 504."""
        self._simulator = simulator
        self._body_limit = body_limit
        self._request_seconds = request_seconds
        self._requests = simulator.metrics.requests
        self._succeeded = simulator.metrics.requests.labels("http", "ok")
        self._encode_seconds = simulator.metrics.encode_seconds.labels("http")

    async def answer(self, headers: Mapping[str, str], receive: Receive, parse: Parse) -> Reply:
        """The reply to a request; errors are replies too.

        Parameters
        ----------
        headers : Of the request, names in lower case.
        receive : ASGI's source of the body.
        parse : From the body to the request.
        """
        try:
            reply = await self._answer(headers, receive, parse)
        except Exception as error:
            log_internal("POST /simulate", error)
            self._requests.labels("http", kind_of(error)).inc()
            return error_reply(error)
        if reply is None:
            self._requests.labels("http", "cancelled").inc()
            return NOBODY_RECEIVES
        self._succeeded.inc()
        return reply

    async def _answer(self, headers: Mapping[str, str], receive: Receive, parse: Parse) -> Reply | None:
        """None where the caller hung up."""
        deadline = deadline_from(headers.get(_TIMEOUT), self._request_seconds)
        form = choose_form(headers.get("accept"))
        body = await read_body(receive, self._body_limit)
        if body is None:
            return None
        coding = coding_of(headers.get("content-encoding"))
        if len(body) > LARGE_BYTES or coding != IDENTITY:
            plan = await asyncio.to_thread(lambda: self._simulator.plan(self._request(body, coding, form, parse)))
            waiting = self._simulator.dispatch(plan, deadline=deadline)
        else:
            waiting = self._simulator.ask(self._request(body, coding, form, parse), deadline)
        result = await unless_hung_up(waiting, receive)
        if result is None:
            return None
        wrap_up = partial(self._reply, result, form, _takes_zstd(headers.get("accept-encoding")))
        large = result.nbytes > LARGE_BYTES
        return await asyncio.to_thread(wrap_up) if large else wrap_up()

    def _request(self, body: bytes, coding: str, form: Form, parse: Parse) -> SimulationRequest:
        request = parse(unpacked(body, coding, self._body_limit), self._simulator.max_request_rows)
        check_form(form, request.output)
        return request

    def _reply(self, result: SimulationResult, form: Form, zstd: bool) -> Reply:
        began = time.monotonic()
        encoded = encode(result, form)
        body, headers = encoded.body, encoded.headers
        packed = compress(body) if zstd else None
        if packed is not None:
            body = packed
            headers |= {"Content-Encoding": ZSTD, "Vary": "Accept-Encoding"}
        seconds = time.monotonic() - began
        self._encode_seconds.observe(seconds)
        headers[SERVER_TIMING] = server_timing(result.timing, seconds)
        trace_reply(result, seconds)
        return Reply(200, body, headers)


async def read_body(receive: Receive, limit: int) -> bytes | None:
    """The whole body, or None where the caller hung up within it; raises TooLargeError above `limit` bytes."""
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return None
        chunk = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(chunk)
        if size > limit:
            raise TooLargeError(f"the body is above {limit} bytes; split the particles")
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def unless_hung_up(waiting: "asyncio.Future[SimulationResult]", receive: Receive) -> SimulationResult | None:
    """The result, or None where the caller hung up: what was still queued is dropped."""
    watch = _Watch(receive, waiting)
    timer = asyncio.get_running_loop().call_later(_WATCH_AFTER_SECONDS, watch.start)
    try:
        return await waiting
    except asyncio.CancelledError:
        if watch.hung_up:
            return None
        raise
    finally:
        timer.cancel()
        watch.stop()


class _Watch:
    """Cancels what is waited for when the caller hangs up."""

    def __init__(self, receive: Receive, waiting: "asyncio.Future[SimulationResult]"):
        self._receive = receive
        self._waiting = waiting
        self._task: asyncio.Task[None] | None = None
        self.hung_up = False

    def start(self) -> None:
        self._task = asyncio.ensure_future(self._watch())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None  # it knows this object by its traceback: together they would keep the result

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.hung_up = not self._waiting.done()
        self._waiting.cancel()


def _takes_zstd(accept_encoding: str | None) -> bool:
    """Whether an Accept-Encoding header names zstd, other than to refuse it."""
    if accept_encoding is None or ZSTD not in accept_encoding:
        return False
    codings = [coding.strip().partition(";") for coding in accept_encoding.lower().split(",")]
    return any(name.strip() == ZSTD and weight.replace(" ", "") not in ("q=0", "q=0.0") for name, _, weight in codings)
