"""Fixtures of the dispatcher's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.models.dispatcher_desk import REQUEST_ROWS, Desk
from helpers.models.gated_engine import GatedEngine
from zdc_service.engine.repository import Repository
from zdc_service.simulating.planner import Planner
from zdc_service.telemetry.instruments import Instruments


@pytest.fixture(scope="session")
def planner(models_folder: Path) -> Planner:
    """Checks requests; its models have gates."""
    return Planner(Repository(models_folder, GatedEngine, "tiny", Instruments()), REQUEST_ROWS, Instruments())


@pytest.fixture
def desk(planner: Planner) -> Iterator[Desk]:
    """A dispatcher with one thread."""
    one = Desk(planner)
    yield one
    one.engine.gate.set()
    one.threads.close()
