"""Finds models on disk: ``<folder>/<name>/<version>/`` with a card, a graph and a golden file."""

import re
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from zdc_common.errors import ConfigError, ModelError
from zdc_common.file_content import content_of
from zdc_detector.card import CARD_FILE, GOLDEN_FILE, GRAPH_FILE, NAME_PATTERN, ModelCard

from zdc_service.engine.onnx_weights import check_self_contained

#: Fingerprint of the files of a version; it changes whenever a file changes.
Fingerprint = tuple[tuple[int, ...] | None, ...]

_NAME, _VERSION = re.compile(NAME_PATTERN), re.compile("[1-9][0-9]*")


@dataclass(frozen=True)
class StoredModel:
    """The files of one version of a model. Each file is read only once, so that the checked bytes are the loaded ones.

    Attributes
    ----------
    card : The model's card.
    folder : The folder of the version.
    graph : Content of the graph file; its hash is the one in the card.
    golden : Content of the golden file.
    """

    card: ModelCard
    folder: Path
    graph: bytes = field(repr=False)
    golden: bytes = field(repr=False)


def shipped_models() -> Path | None:
    """Folder of the models in the installed package, else in the checkout; None if there is none."""
    packaged = Path(str(resources.files("zdc_service"))) / "models"
    checkout = Path(__file__).resolve().parents[3] / "models"
    for folder in (packaged, checkout):
        if any(folder.glob(f"*/*/{CARD_FILE}")):
            return folder
    return None


def models_folder(folder: Path | None) -> Path:
    """The folder of models; None means the shipped models.

    Raises
    ------
    ConfigError : there is no such folder.
    """
    chosen = folder if folder is not None else shipped_models()
    if chosen is None:
        raise ConfigError("no model is installed with this package; give a folder of models with --models")
    if not chosen.is_dir():
        raise ConfigError(f"--models {chosen}: no such folder")
    return chosen


def version_folders(folder: Path) -> dict[str, dict[int, Path]]:
    """Folders of versions, by model and number; other names, such as temporary ones of a copy, are ignored.

    Raises
    ------
    OSError : the folder cannot be read.
    """
    found: dict[str, dict[int, Path]] = {}
    for model in sorted(folder.iterdir()):
        if _NAME.fullmatch(model.name) and model.is_dir():
            numbers = [path for path in model.iterdir() if _VERSION.fullmatch(path.name) and path.is_dir()]
            found[model.name] = {int(path.name): path for path in sorted(numbers, key=lambda path: int(path.name))}
    return found


def versions_with_card(folder: Path) -> dict[str, dict[int, Path]]:
    """Folders of the versions that have a card, by model and number; reads no file.

    Raises
    ------
    ConfigError : there is no such model.
    OSError : the folder cannot be read.
    """
    found = {
        name: {number: path for number, path in versions.items() if (path / CARD_FILE).exists()}
        for name, versions in version_folders(folder).items()
    }
    found = {name: versions for name, versions in found.items() if versions}
    if not found:
        raise ConfigError(f"--models {folder}: no model found; a model is <name>/<version>/{CARD_FILE}")
    return found


def read_model(path: Path) -> StoredModel:
    """Read the version of a model in a folder.

    Raises
    ------
    ModelError : a file is missing or damaged, the graph does not have the card's hash or stores weights in other files,
        or the card names another model than the folder.
    """
    card, graph = ModelCard.read_with_graph(path)
    if (path.parent.name, path.name) != (card.name, str(card.version)):
        raise ModelError(
            f"{path}: the card says {card.name} version {card.version}; rename the folder to {card.name}/{card.version}"
        )
    check_self_contained(graph, str(path / GRAPH_FILE))
    try:
        golden = content_of(path / GOLDEN_FILE)
    except OSError as error:
        raise ModelError(f"{path / GOLDEN_FILE}: cannot be read: {error.strerror}") from error
    return StoredModel(card, path, graph, golden)


def fingerprint(path: Path) -> Fingerprint:
    """Inode, size and times of each file of a version; None for a missing file."""
    marks: list[tuple[int, ...] | None] = []
    for name in (CARD_FILE, GRAPH_FILE, GOLDEN_FILE):
        try:
            found = (path / name).stat()
            marks.append((found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))
        except OSError:
            marks.append(None)
    return tuple(marks)
