"""Many clients at once, over both protocols, with random sizes: every row is the caller's own."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from running_server import RunningServer
from tiny_model import some_particles
from zdc_service.client import Client, ClientOptions, concatenate, connect
from zdc_service.simulation import Output, SimulationRequest
from zdc_service.simulator import Simulator

CLIENTS, REQUESTS = 24, 6


@pytest.mark.slow
def test_every_row_belongs_to_its_caller(server: RunningServer, simulator: Simulator) -> None:
    """Each caller checks its rows against the same request in process."""
    start = threading.Barrier(CLIENTS)

    def caller(number: int) -> int:
        rng = np.random.default_rng(number)
        url = f"grpc://{server.grpc}" if number % 2 else server.http
        checked = 0
        with connect(url, ClientOptions(rows_per_request=64)) as client:
            start.wait(60)
            for _ in range(REQUESTS):
                checked += check_one(client, simulator, rng)
        return checked

    with ThreadPoolExecutor(CLIENTS) as pool:
        rows = list(pool.map(caller, range(CLIENTS)))
    assert min(rows) >= REQUESTS
    assert server.server.simulator.metrics.registry.get_sample_value("zdc_queue_rows") == 0


def check_one(client: Client, simulator: Simulator, rng: np.random.Generator) -> int:
    seed, repeats = int(rng.integers(2**53)), int(rng.integers(1, 4))
    particles = some_particles(int(rng.choice([1, 1, 1, 2, 10, 200])), seed=seed % 1000)
    model = str(rng.choice(["tiny", "strips"]))
    output = Output(rng.choice(list(Output)))
    answer = concatenate(client.simulate(particles, seed=seed, repeats=repeats, output=output, model=model))
    wanted = simulator.simulate(SimulationRequest(particles, seed=seed, repeats=repeats, output=output, model=model))
    np.testing.assert_array_equal(answer.channels, wanted.channels)
    np.testing.assert_array_equal(answer.particle, wanted.particle)
    if wanted.response is not None:
        np.testing.assert_array_equal(answer.response, wanted.response)
    if wanted.hits is not None:
        assert answer.hits is not None
        for name in ("offsets", "fibre", "photons"):
            np.testing.assert_array_equal(getattr(answer.hits, name), getattr(wanted.hits, name))
    return len(wanted.particle)
