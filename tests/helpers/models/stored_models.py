"""Models read from disk and checked."""

from pathlib import Path

from zdc_service.engine.model_store import StoredModel, models_folder, read_model, versions_with_card


def stored_models(folder: Path | None = None) -> list[StoredModel]:
    """All models of a folder, by name and version; None is the shipped ones."""
    versions = versions_with_card(models_folder(folder))
    return [read_model(path) for name in versions for path in versions[name].values()]
