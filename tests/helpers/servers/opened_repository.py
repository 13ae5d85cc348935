"""A repository over a folder, without a server."""

from collections.abc import Callable
from pathlib import Path

from helpers.models.tiny_model import TinyModel
from zdc_service.engine.engine import Engine
from zdc_service.engine.model_store import StoredModel
from zdc_service.engine.repository import Repository
from zdc_service.telemetry.instruments import Instruments

TWO = TinyModel(version=2, seed=2)


def opened(
    folder: Path, default: str | None = None, open_engine: Callable[[StoredModel], Engine] = Engine
) -> Repository:
    return Repository(folder, open_engine, default, Instruments())


def versions(repository: Repository) -> list[tuple[str, int]]:
    return sorted((engine.card.name, engine.card.version) for engine in repository)
