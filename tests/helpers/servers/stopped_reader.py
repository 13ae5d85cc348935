"""A client that opens a stream, reads one reply and then stops: checks how much the server computes."""

import time
from collections.abc import Callable, Iterable
from typing import Any

from helpers.servers.running_server import RunningServer
from helpers.waiting import wait_until


def assert_stopped_reader_is_cheap(
    server: RunningServer, stream: Callable[..., Any], requests: Iterable[Any], protocol: str
) -> None:
    """`requests`, for ``tiny``, are far more than 20,000 rows; nothing is left of them once they are cancelled."""
    registry = server.server.simulator.instruments.registry

    def rows() -> float:
        return registry.get_sample_value("zdc_rows_total", {"model": "tiny", "version": "2"}) or 0.0

    before = rows()
    call = stream(iter(requests), timeout=120)
    next(call)
    seen = -1.0
    while rows() != seen:  # until the server is idle
        seen = rows()
        time.sleep(0.5)
    call.cancel()
    assert 0 < seen - before < 20_000
    cancelled = {"protocol": protocol, "kind": "cancelled"}
    wait_until(lambda: bool(registry.get_sample_value("zdc_requests_total", cancelled)))
    wait_until(lambda: registry.get_sample_value("zdc_queue_rows") == 0)
