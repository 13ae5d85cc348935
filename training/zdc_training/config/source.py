"""The model that a training starts from (`start_from`): its folder, and the keys that it hands down."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zdc_common.errors import ConfigError
from zdc_detector.card import CARD_FILE

#: The resolved configuration in the folder of a run.
RUN_CONFIG_FILE = "config.json"

_NAMED = re.compile(r"([a-z0-9][a-z0-9._-]*)(?:/([1-9][0-9]*))?")
_SECTIONS = ("model", "loss")
#: Keys of [output] that hold for every model with the same networks.
_OUTPUT = ("finish", "description", "limitations")


def source_folder(start_from: Path) -> Path:
    """The folder that `start_from` names: of a run, of an exported model, or NAME/VERSION of a model.

    Models are looked up in ``models`` of the current folder, then among the shipped ones.

    Raises
    ------
    ConfigError : there is no such folder, or only the name of a model is given.
    """
    if any((start_from / name).is_file() for name in (CARD_FILE, RUN_CONFIG_FILE)):
        return start_from
    named = _NAMED.fullmatch(start_from.as_posix())
    places = _model_folders() if named else []
    for folder in places:
        if (folder / start_from / CARD_FILE).is_file():
            return folder / start_from
    versions = sorted(
        {path.name for folder in (Path(), *places) for path in (folder / start_from).glob("[1-9]*")}, key=_number
    )
    if versions:
        raise ConfigError(f"start_from: {start_from} has the versions {', '.join(versions)}: name one, "
                          f"as {start_from}/{versions[-1]}")  # fmt: skip
    raise ConfigError(
        f"start_from: {start_from} has neither {CARD_FILE} nor {RUN_CONFIG_FILE}; name the folder of a run, the folder "
        f"of a model, or NAME/VERSION of one of {', '.join(_known(_model_folders())) or 'your models'}"
    )


def _model_folders() -> list[Path]:
    """Folders of models that exist: here, in the checkout, and in the installed package of the service."""
    package = Path(__file__).parents[1]
    places = (Path("models"), package.parents[1] / "models", package.parent / "zdc_service" / "models")
    return [folder for folder in places if folder.is_dir()]


def _known(places: list[Path]) -> list[str]:
    found = {"/".join(card.parts[-3:-1]) for folder in places for card in folder.glob(f"*/*/{CARD_FILE}")}
    return sorted(found)


def _number(name: str) -> int:
    return int(name) if name.isdecimal() else 0


def inherited(tree: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """The tree of a configuration, completed by the keys of networks, loss and output of the model it starts from.

    Only keys that the tree lacks are taken; none if it names another method.

    Parameters
    ----------
    theirs : Resolved configuration of the model.
    """
    method = theirs.get("method")
    if method is None or tree.get("method", method) != method:
        return dict(tree)
    return dict(tree) | {"method": method} | dict(_completed(tree, theirs))


def _completed(tree: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, keys in (*((name, None) for name in _SECTIONS), ("output", _OUTPUT)):
        given, own = theirs.get(section, {}), tree.get(section, {})
        if isinstance(given, dict) and isinstance(own, dict):
            yield section, {key: value for key, value in given.items() if keys is None or key in keys} | own


def tree_of(start_from: str) -> dict[str, Any]:
    """The resolved configuration of the model that `start_from` names, unchecked.

    Raises
    ------
    ConfigError : see `source_folder`, or the file of its configuration is damaged.
    """
    folder = source_folder(Path(start_from))
    card = folder / CARD_FILE
    path = card if card.is_file() else folder / RUN_CONFIG_FILE
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        found = tree["config"] if path == card else tree
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"start_from: {path} is damaged: {error}; copy the folder again") from error
    if not isinstance(found, dict):
        raise ConfigError(f"start_from: {path} is damaged: its configuration is a {type(found).__name__}")
    return found
