"""Simulation in this process, without a server."""

from zdc_service.client.base import Client, ClientOptions
from zdc_service.settings import EngineSettings
from zdc_service.simulation import SimulationRequest, SimulationResult
from zdc_service.simulator import Simulator


class LocalClient(Client):
    """Loads the models itself; needs onnxruntime (the extras ``cpu`` or ``gpu``)."""

    def __init__(self, settings: EngineSettings, options: ClientOptions):
        """Raise what `Simulator` raises for models or a device that cannot be had."""
        self._simulator = Simulator(settings)
        super().__init__(options)

    def _exchange(self, request: SimulationRequest) -> SimulationResult:
        return self._simulator.simulate(request)

    def _disconnect(self) -> None:
        self._simulator.close()
