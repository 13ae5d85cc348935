"""The clients that simulate in this process, without a server."""

import asyncio

from zdc_service.client.async_base import AsyncClient
from zdc_service.client.base import Client
from zdc_service.client.model_facts import ModelFacts
from zdc_service.client.options import ClientOptions
from zdc_service.settings import EngineSettings
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import SimulationRequest, SimulationResult


class LocalClient(Client):
    """Loads the models in this process; needs onnxruntime (the extra ``cpu`` or ``gpu``)."""

    def __init__(self, settings: EngineSettings | None, options: ClientOptions):
        """Load the models; raises as `Simulator` if a model or the device is unavailable."""
        self._simulator = Simulator(settings or EngineSettings())
        super().__init__(options, "in this process")

    def _exchange(self, request: SimulationRequest) -> SimulationResult:
        return self._simulator.simulate(request)

    def facts(self, model: str, version: int) -> ModelFacts:
        """As `Client.facts`."""
        card = self._simulator.repository.get(model, version).card
        return ModelFacts(card.graph_sha256, card.calorimeter)

    def _disconnect(self) -> None:
        self._simulator.close()


class AsyncLocalClient(AsyncClient):
    """The same for asyncio. The simulator's threads compute the batches, so the event loop is not blocked."""

    def __init__(self, settings: EngineSettings | None, options: ClientOptions):
        """Load the models, which blocks the event loop; raises as `LocalClient`."""
        self._simulator = Simulator(settings or EngineSettings())
        super().__init__(options, "in this process")

    async def _exchange(self, request: SimulationRequest) -> SimulationResult:
        return await asyncio.wrap_future(self._simulator.submit(self._simulator.plan(request)))

    async def _disconnect(self) -> None:
        self._simulator.close()
