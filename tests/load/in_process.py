"""Without a server: onnxruntime alone, and the whole simulation."""

from collections.abc import Callable
from dataclasses import replace
from itertools import cycle

import numpy as np
from numpy.typing import NDArray
from zdc_detector.random import normals
from zdc_service.engine.model_store import StoredModel
from zdc_service.engine.providers import Placement, open_session
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import SimulationRequest


def onnxruntime_alone(model: StoredModel, placement: Placement, request: SimulationRequest) -> Callable[[], int]:
    """Run the graph on one batch of the request after the other; batches have the size of the service.

    Call it from as many threads as the service has. Noise is drawn beforehand, and the rates are dropped.
    """
    session = open_session(model, replace(placement, cuda_graphs=False))  # they need separate buffers
    particles = request.particles.toward_a()
    noise = normals(request.seed or 0, 0, len(particles), model.card.noise.dimension)
    feeds: dict[str, NDArray[np.generic]] = {"particles": particles.conditions, "noise": noise}
    if model.card.takes_pdg:
        feeds["pdg"] = particles.pdg
    starts = range(0, len(particles), placement.max_batch_rows)
    batches = cycle([{name: array[i : i + placement.max_batch_rows] for name, array in feeds.items()} for i in starts])

    def call() -> int:
        return len(session.run(["response"], next(batches))[0])

    return call


def simulator_call(simulator: Simulator, request: SimulationRequest) -> Callable[[], int]:
    """Checks, noise, graph, finish and sums, by the simulator that the protocols use."""

    def call() -> int:
        return len(simulator.simulate(request).channels)

    return call
