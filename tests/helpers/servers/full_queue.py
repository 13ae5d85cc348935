"""A server with a queue that a test can fill and empty."""

import threading
from concurrent.futures import Future
from pathlib import Path

from helpers.models.tiny_model import some_particles
from helpers.servers.running_server import RunningServer
from zdc_service.settings import ServerSettings
from zdc_service.simulating.plan import Plan
from zdc_service.simulation import Output, SimulationRequest, SimulationResult

#: Maximum rows of a request, and of the queue.
ROWS = 30_000
_HELD = (7_001, 12_007)


class FullQueueServer(RunningServer):
    """Serves the tiny model; after `fill`, a request for `ROWS` rows does not fit into the queue."""

    def __init__(self, models_folder: Path):
        super().__init__(
            ServerSettings(
                models=models_folder, default_model="tiny", http_port=0, grpc_port=0, threads=1,
                max_request_rows=ROWS, max_queue_rows=ROWS,
            )
        )  # fmt: skip
        self._emptied = threading.Event()
        self._held: dict[int, Future[SimulationResult]] = {}

    def fill(self) -> None:
        """Queue plans that are queued again when they are done."""
        for rows in _HELD:
            request = SimulationRequest(some_particles(1), repeats=rows, output=Output.CHANNELS)
            self._hold(self.server.simulator.plan(request))

    def _hold(self, plan: Plan) -> None:
        if not self._emptied.is_set():
            held = self._held[plan.rows] = self.server.simulator.submit(plan)
            held.add_done_callback(lambda _: self._hold(plan))

    def empty(self) -> None:
        """Release the plans."""
        self._emptied.set()
        for future in self._held.values():
            future.cancel()

    def stop(self) -> None:
        self.empty()
        super().stop()
