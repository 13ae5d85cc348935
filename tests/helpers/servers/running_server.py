"""A server for tests: the real one, on free ports, in this process."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvloop
from zdc_service.serving.server import Server
from zdc_service.settings import ServerSettings


class RunningServer:
    """A `Server` on free ports, on an event loop as in `zdc serve`, in a separate thread."""

    def __init__(self, settings: ServerSettings):
        self.server = Server(settings)
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._run(self.server.start())
        self.http = f"http://127.0.0.1:{self.server.http_port}"
        self.grpc = f"127.0.0.1:{self.server.grpc_port}"

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def drain(self) -> None:
        """Drain as after SIGTERM: probes report not ready, but requests are still answered."""
        self._run(self.server.drain())

    def stop(self) -> None:
        self._run(self.server.stop())
        self._run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextmanager
def running(models_folder: Path, **options: object) -> Iterator[RunningServer]:
    """A server for one test, with one thread and ``tiny`` as default model; `options` of `ServerSettings`."""
    settings = {"http_port": 0, "grpc_port": 0, "threads": 1, **options}
    server = RunningServer(ServerSettings(models=models_folder, default_model="tiny", **settings))  # type: ignore[arg-type]
    try:
        yield server
    finally:
        server.stop()
