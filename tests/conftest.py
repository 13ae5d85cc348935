"""Fixtures shared by all tests: models on disk, a simulator, a running server."""

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# Threads of networks as small as those of the tests mostly wait for each other: on a busy machine, trainings take ten
# times the processor time.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from helpers.models.tiny_model import STRIPS, TinyModel, write_model
from helpers.servers.running_server import RunningServer
from zdc_detector.finish import Finish
from zdc_service.settings import EngineSettings, ServerSettings
from zdc_service.simulating.simulator import Simulator

# The first example may compile kernels, which takes seconds; `timeout` of pytest ends what hangs.
hypothesis.settings.register_profile("without deadlines", deadline=None)
hypothesis.settings.load_profile("without deadlines")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with slow tests first: with several processes, no long file is left for one of them at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True, scope="session")
def _no_settings_from_outside() -> Iterator[None]:
    """Remove the `ZDC_...` variables of the shell that runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("ZDC_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``tiny`` in two versions, and ``strips``, with another face and the PDG code as input."""
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, TinyModel())
    write_model(folder, TinyModel(version=2, seed=2))
    write_model(folder, TinyModel(name="strips", calorimeter=STRIPS, takes_pdg=True, finish=Finish.ROUND))
    return folder


@pytest.fixture(scope="session")
def simulator(models_folder: Path) -> Iterator[Simulator]:
    """A simulator in this process, with another batch size than the server."""
    settings = EngineSettings(models=models_folder, default_model="tiny", threads=1, max_batch_rows=1000)
    with Simulator(settings) as running:
        yield running


@pytest.fixture(scope="session")
def server(models_folder: Path) -> Iterator[RunningServer]:
    """A server of `models_folder`; its batches are small, so that requests are divided and mixed."""
    settings = ServerSettings(
        models=models_folder, default_model="tiny", http_port=0, grpc_port=0, threads=2, max_batch_rows=24,
        max_request_rows=3000, max_queue_rows=20000,
    )  # fmt: skip
    running = RunningServer(settings)
    yield running
    running.stop()
