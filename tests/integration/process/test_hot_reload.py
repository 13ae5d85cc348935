"""Changes of a running server's models folder: no request fails, and every answer comes from one version."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from helpers.models.tiny_model import TinyModel, some_particles, write_model
from helpers.servers.running_server import RunningServer
from helpers.waiting import PATIENCE, wait_until
from zdc_common.errors import ModelNotFoundError
from zdc_detector.card import GOLDEN_FILE
from zdc_service.client import ClientOptions, concatenate, connect
from zdc_service.settings import EngineSettings, ServerSettings
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import Output, SimulationRequest

CLIENTS = 6


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """``tiny`` version 1."""
    write_model(tmp_path)
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[RunningServer]:
    running = RunningServer(
        ServerSettings(models=folder, http_port=0, grpc_port=0, threads=2, max_batch_rows=16, model_poll_seconds=0.05)
    )
    yield running
    running.stop()


class Clients:
    """Threads that send requests over both protocols and record the answering version, until they are stopped."""

    def __init__(self, server: RunningServer):
        self._server = server
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(CLIENTS)
        self.answers: list[Counter[int]] = [Counter() for _ in range(CLIENTS)]
        self.kept: list[tuple[int, int, np.ndarray]] = []  # version, seed, channels
        self._running = [self._pool.submit(self._ask, number) for number in range(CLIENTS)]

    def _ask(self, number: int) -> None:
        url = f"grpc://{self._server.grpc}" if number % 2 else self._server.http
        with connect(url, ClientOptions(rows_per_request=16)) as client:
            for seed in range(10**9):
                if self._stop.is_set():
                    return
                chunks = list(client.simulate(some_particles(40, seed=seed), seed=seed, output=Output.CHANNELS))
                (version,) = {chunk.version for chunk in chunks}
                self.answers[number][version] += 1
                if self.answers[number][version] <= 5:
                    self.kept.append((version, seed, concatenate(chunks).channels))

    def all_got(self, version: int) -> bool:
        for running in self._running:
            assert not running.done(), running.result()
        return all(answers[version] for answers in self.answers)

    def stop(self) -> None:
        """Wait; raises the first error of a client."""
        self._stop.set()
        for running in self._running:
            running.result(PATIENCE)
        self._pool.shutdown()


def test_a_new_version_answers_without_a_failed_request(server: RunningServer, folder: Path) -> None:
    clients = Clients(server)
    wait_until(lambda: clients.all_got(1))
    write_model(folder, TinyModel(version=2, seed=2))
    wait_until(lambda: clients.all_got(2))
    clients.stop()
    with Simulator(EngineSettings(models=folder, threads=1)) as simulator:
        for version, seed, channels in clients.kept:
            request = SimulationRequest(
                some_particles(40, seed=seed), seed=seed, output=Output.CHANNELS, version=version
            )
            np.testing.assert_array_equal(channels, simulator.simulate(request).channels)
    assert {version for version, _, _ in clients.kept} == {1, 2}


def test_a_bad_version_is_refused_while_the_old_one_answers(
    server: RunningServer,
    folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    clients = Clients(server)
    bad = write_model(tmp_path_factory.mktemp("bad"), TinyModel(version=2, seed=2))
    (bad / GOLDEN_FILE).write_bytes((folder / "tiny" / "1" / GOLDEN_FILE).read_bytes())
    bad.rename(folder / "tiny" / "2")
    with caplog.at_level(logging.WARNING):
        wait_until(lambda: "model tiny version 2 is refused" in caplog.text)
        time.sleep(0.5)  # some more looks
    wait_until(lambda: clients.all_got(1))
    clients.stop()
    assert not any(answers[2] for answers in clients.answers)
    repository = server.server.simulator.repository
    first, second = repository.index()
    assert (first.state, second.state) == ("READY", "UNAVAILABLE")
    assert "the graph's rates differ" in second.reason
    assert second.reason in caplog.text
    assert caplog.text.count("is refused") == 1
    assert 'zdc_model_refusals_total{model="tiny"} 1.0' in server.server.simulator.instruments.text().decode()


def test_a_job_keeps_its_version_when_a_newer_one_appears(server: RunningServer, folder: Path) -> None:
    """The requests of one job are sent over a long time."""
    repository = server.server.simulator.repository
    with connect(f"grpc://{server.grpc}", ClientOptions(rows_per_request=10, in_flight=3)) as client:
        job = client.simulate(some_particles(100), seed=5, output=Output.CHANNELS)
        chunks = [next(job)]
        write_model(folder, TinyModel(version=2, seed=2))
        wait_until(lambda: repository.get().card.version == 2)
        chunks += job
        assert {chunk.version for chunk in chunks} == {1}
        whole = concatenate(client.simulate(some_particles(100), seed=5, output=Output.CHANNELS, version=1))
        np.testing.assert_array_equal(concatenate(chunks).channels, whole.channels)


def test_requests_in_flight_finish_on_an_unloaded_model(server: RunningServer) -> None:
    simulator = server.server.simulator
    plan = simulator.plan(SimulationRequest(some_particles(2000), seed=1, output=Output.CHANNELS))
    answer = simulator.submit(plan)
    simulator.repository.unload("tiny")
    assert len(answer.result(PATIENCE).channels) == 2000
    with connect(server.http) as client, pytest.raises(ModelNotFoundError, match="'tiny' is not loaded"):
        list(client.simulate(some_particles(1)))
    simulator.repository.load("tiny")
    with connect(server.http) as client:
        assert len(list(client.simulate(some_particles(1)))) == 1


def test_a_server_may_be_told_not_to_look(folder: Path) -> None:
    running = RunningServer(ServerSettings(models=folder, http_port=0, grpc_port=0, threads=1, model_poll_seconds=0))
    try:
        write_model(folder, TinyModel(version=2, seed=2))
        time.sleep(0.2)
        repository = running.server.simulator.repository
        assert [entry.reason for entry in repository.index()] == ["", "not loaded yet"]
        repository.load("tiny")
        assert repository.get().card.version == 2
    finally:
        running.stop()
