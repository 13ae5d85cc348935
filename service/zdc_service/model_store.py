"""Finds models on disk: ``<folder>/<name>/<version>/`` with a card, a graph and a golden file."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from zdc_detector.card import CARD_FILE, ModelCard
from zdc_detector.errors import ConfigError, ModelError


@dataclass(frozen=True)
class StoredModel:
    """One version of a model on disk; its card has been read and the graph's hash checked."""

    card: ModelCard
    folder: Path


def shipped_models() -> Path | None:
    """The models inside the installed package, else those of the checkout, else None."""
    packaged = Path(str(resources.files("zdc_service"))) / "models"
    checkout = Path(__file__).resolve().parents[2] / "models"
    for folder in (packaged, checkout):
        if any(folder.glob(f"*/*/{CARD_FILE}")):
            return folder
    return None


def find_models(folder: Path | None = None) -> list[StoredModel]:
    """All models of a folder, by name and version; None is the shipped ones.

    Raises
    ------
    ConfigError : there is no such folder, or no model in it.
    ModelError : a card is damaged, a graph is not the card's, or a card names another model than its folder.
    """
    chosen = folder if folder is not None else shipped_models()
    if chosen is None:
        raise ConfigError("no model is installed with this package; name a folder of models with --models")
    if not chosen.is_dir():
        raise ConfigError(f"--models {chosen}: no such folder")
    paths = sorted(card.parent for card in chosen.glob(f"*/*/{CARD_FILE}"))
    if not paths:
        raise ConfigError(f"--models {chosen}: no model found; a model is <name>/<version>/{CARD_FILE}")
    return sorted((_read(path) for path in paths), key=lambda model: (model.card.name, model.card.version))


def _read(path: Path) -> StoredModel:
    card = ModelCard.read(path)
    if (path.parent.name, path.name) != (card.name, str(card.version)):
        raise ModelError(
            f"{path}: the card says {card.name} version {card.version}; rename the folder to {card.name}/{card.version}"
        )
    return StoredModel(card, path)
