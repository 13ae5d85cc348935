"""Many clients at once: every row is the caller's own, and so is every error.

`tests/load/soak.py` does the same with hundreds of clients that come late, give up and hang up.
"""

import asyncio
import gc
import io
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import numpy as np
import pytest
from helpers.models.tiny_model import some_particles
from helpers.servers.running_server import RunningServer
from zdc_service.client import Client, ClientOptions, concatenate, connect
from zdc_service.client.transports.columns import columns_to_send
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import Output, SimulationRequest, SimulationResult

CLIENTS, REQUESTS = 24, 6
TOGETHER = 48


@pytest.mark.slow
def test_every_row_belongs_to_its_caller(server: RunningServer, simulator: Simulator) -> None:
    """Each caller compares its rows with those of the same request in this process."""
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
    assert queue_rows(server) == 0


def check_one(client: Client, simulator: Simulator, rng: np.random.Generator) -> int:
    """Seeds are given or drawn; small requests are bundled with those of other callers."""
    seed, repeats = int(rng.integers(2**53)), int(rng.integers(1, 4))
    particles = some_particles(int(rng.choice([1, 1, 1, 2, 10, 200])), seed=seed % 1000)
    model = str(rng.choice(["tiny", "strips"]))
    output = Output(rng.choice(list(Output)))
    given = seed if rng.random() < 0.7 else None
    answer = concatenate(client.simulate(particles, seed=given, repeats=repeats, output=output, model=model))
    assert given in (None, answer.seed)
    wanted = simulator.simulate(
        SimulationRequest(particles, seed=answer.seed, repeats=repeats, output=output, model=model)
    )
    np.testing.assert_array_equal(answer.channels, wanted.channels)
    np.testing.assert_array_equal(answer.particle, wanted.particle)
    np.testing.assert_array_equal(answer.side, wanted.side)
    if wanted.response is not None:
        np.testing.assert_array_equal(answer.response, wanted.response)
    if wanted.hits is not None:
        assert answer.hits is not None
        for name in ("offsets", "fibre", "photons"):
            np.testing.assert_array_equal(getattr(answer.hits, name), getattr(wanted.hits, name))
    return len(wanted.particle)


def queue_rows(server: RunningServer) -> float | None:
    return server.server.simulator.instruments.registry.get_sample_value("zdc_queue_rows")


BEYOND = {"pdg": [22], "px": [0.0], "py": [0.0], "pz": [1501.0]}


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"first_row": -1}, 422, "first_row = -1 must be in"),
        ({"first_row": 2**63 - 1, "repeats": 2}, 422, "first_row = 9223372036854775807 leaves no room"),
        ({"seed": 2**53}, 422, "seed = 9007199254740992 must be in"),
        ({"particles": BEYOND}, 422, "particle[0]: energy: 1501 GeV is outside"),
        ({"particles": {**BEYOND, "pz": [0.0]}}, 422, "particle[0]: pz = 0 GeV/c must not be 0"),
        ({"model": "tine"}, 404, "model 'tine' is not loaded"),
        ({"version": 7}, 404, "has no version 7"),
    ],
)
def test_one_invalid_request_among_many_simultaneous_ones(
    server: RunningServer, simulator: Simulator, changes: dict[str, object], status: int, message: str
) -> None:
    requests = [SimulationRequest(some_particles(1, seed), seed=seed) for seed in range(TOGETHER)]
    bodies = [
        {"particles": {name: column.tolist() for name, column in columns_to_send(one.particles).items()}, "seed": seed}
        for seed, one in enumerate(requests)
    ]
    bodies.insert(TOGETHER // 2, bodies[0] | changes)

    async def post_all() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=len(bodies))
        accept = {"Accept": "application/x-npy"}
        async with httpx.AsyncClient(base_url=server.http, timeout=20, limits=limits, headers=accept) as http:
            return await asyncio.gather(*(http.post("/simulate", json=body) for body in bodies))

    replies = asyncio.run(post_all())
    refusal = replies.pop(TOGETHER // 2)
    assert (refusal.status_code, message in refusal.json()["error"]["message"]) == (status, True), refusal.text
    for request, reply in zip(requests, replies, strict=True):
        assert reply.status_code == 200
        np.testing.assert_array_equal(np.load(io.BytesIO(reply.content)), simulator.simulate(request).response)
    assert queue_rows(server) == 0


def test_no_result_outlives_its_request(server: RunningServer) -> None:
    """Also without Python's collector of reference cycles, which runs late and ignores the size of arrays."""
    particles = some_particles(2000)
    with connect(server.http) as http, connect(f"grpc://{server.grpc}") as grpc, no_collection():
        for client in (http, grpc):
            before = results()
            for _ in range(3):
                for chunk in client.simulate(particles, seed=1):
                    del chunk
            wait = threading.Event()
            for _ in range(100):
                if results() <= before:
                    break
                wait.wait(0.05)
            assert results() <= before


def results() -> int:
    return sum(isinstance(one, SimulationResult) for one in gc.get_objects())


@contextmanager
def no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
