"""Handles one simulation request over HTTP, from its body to the reply."""

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

#: Parses a body; the second argument is the maximum number of rows of a request.
Parse = Callable[[bytes, int], SimulationRequest]

#: Larger bodies and answers are parsed and encoded on another thread, so that the event loop can serve other requests.
LARGE_BYTES = 64 * 1024
#: A request that waits longer than this is watched, and dropped if its client disconnects. Watching costs as much time
#: as simulating one response, so shorter requests are not watched.
_WATCH_AFTER_SECONDS = 0.01
#: The status that proxies log if a client disconnected; it is never sent.
NOBODY_RECEIVES = Reply(499)

_TIMEOUT = TIMEOUT_HEADER.lower()


class Exchange:
    """Answers the simulation requests of all routes of `POST /simulate`."""

    def __init__(self, simulator: Simulator, body_limit: int, request_seconds: float | None):
        """Use a simulator.

        Parameters
        ----------
        simulator : Computes the responses.
        body_limit : Maximum size of a body in bytes, before and after decompression.
        request_seconds : Maximum time for an answer; later the reply is 504.
        """
        self._simulator = simulator
        self._body_limit = body_limit
        self._request_seconds = request_seconds
        self._requests = simulator.instruments.requests
        self._succeeded = simulator.instruments.requests.labels("http", "ok")
        self._encode_seconds = simulator.instruments.encode_seconds.labels("http")

    async def answer(self, headers: Mapping[str, str], receive: Receive, parse: Parse) -> Reply:
        """The reply to a request; exceptions become error replies.

        Parameters
        ----------
        headers : Headers of the request, names in lower case.
        receive : ASGI's `receive`, for the body.
        parse : Parses the body.
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
        """The reply, or None if the client disconnected."""
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
    """The whole body, or None if the client disconnected before its end; raises TooLargeError above `limit` bytes."""
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
            raise TooLargeError(f"the body has more than {limit} bytes; split the particles")
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def unless_hung_up(waiting: "asyncio.Future[SimulationResult]", receive: Receive) -> SimulationResult | None:
    """The result, or None if the client disconnected; then rows that still wait are dropped."""
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
    """Cancels a future if the client disconnects."""

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
            self._task = None  # breaks a reference cycle through the task's traceback, which would keep the result

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.hung_up = not self._waiting.done()
        self._waiting.cancel()


def _takes_zstd(accept_encoding: str | None) -> bool:
    """Whether an Accept-Encoding header lists zstd with a weight above zero."""
    if accept_encoding is None or ZSTD not in accept_encoding:
        return False
    codings = [coding.strip().partition(";") for coding in accept_encoding.lower().split(",")]
    return any(name.strip() == ZSTD and weight.replace(" ", "") not in ("q=0", "q=0.0") for name, _, weight in codings)
