"""Fixtures of the dispatcher's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.models.dispatcher_desk import REQUEST_ROWS, Desk
from helpers.models.gated_engine import GatedEngine
from zdc_service.engine.repository import Repository
from zdc_service.settings import EngineSettings
from zdc_service.simulating.simulator import Simulator
from zdc_service.telemetry.metrics import Metrics


@pytest.fixture(scope="session")
def planner(models_folder: Path) -> Iterator[Simulator]:
    """Checks requests; its models have gates."""
    settings = EngineSettings(models=models_folder, default_model="tiny", threads=1, max_request_rows=REQUEST_ROWS)
    with Simulator(settings) as running:
        running.repository = Repository(models_folder, GatedEngine, "tiny", Metrics())
        yield running


@pytest.fixture
def desk(planner: Simulator) -> Iterator[Desk]:
    """A dispatcher with one worker."""
    one = Desk(planner)
    yield one
    one.engine.gate.set()
    one.batcher.close()
