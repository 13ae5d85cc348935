"""A configuration as a TOML file: read, changed by overrides and checked before a training begins."""

import tomllib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from zdc_common.errors import ConfigError

from zdc_training.config.keys import did_you_mean, keys_of, unknown_key
from zdc_training.config.methods import DEFAULT, config_class, config_classes, registered_methods
from zdc_training.config.sections import SHIPPED, DataConfig, Experiment
from zdc_training.config.source import inherited, tree_of

#: Keys and sections that determine the weights and the split of a checkpoint: a resumed run cannot change them.
FIXED = (
    "seed",
    "data.train",
    "data.validation_share",
    "data.split_seed",
    "data.limit",
    "method",
    "start_from",
    "model",
    "loss.reconstruction",
)

_MOST = 80  # characters of a user's text in a message

#: Keys that describe one training file: overrides with another training file reset them.
OF_THE_FILE = ("data.test", "data.description", "data.limitations", "output.licence")


def shipped_configs() -> dict[str, Path]:
    """Name and path of each configuration in the package."""
    folder = Path(str(files("zdc_training") / "configs"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_config(
    source: str, overrides: Sequence[str] = (), unset: Sequence[str] = (), begun: Experiment | None = None
) -> Experiment:
    """Read a TOML file, or a configuration of the package by its name, and apply overrides.

    With `start_from`, keys of networks and loss that are left out are those of the model it names.

    Parameters
    ----------
    source : A path or a name.
    overrides : ``section.key=value``.
    unset : Keys that are reset to their defaults.
    begun : Configuration of a run that continues. It has the keys of the model that it started from, which may be gone.

    Raises
    ------
    ConfigError : no such file, no model `start_from`, not TOML, an unknown key or a value out of bounds; names the key.
    """
    path = Path(source)
    if not path.is_file():
        shipped = shipped_configs()
        if source not in shipped:
            raise ConfigError(f"{source}: no such file, nor one of {', '.join(shipped)}{did_you_mean(source, shipped)}")
        path = shipped[source]
    try:
        tree: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    return _overridden(_beside(path.parent, tree), overrides, unset, str(path), begun=begun, whole=False)


def _beside(folder: Path, tree: dict[str, Any]) -> dict[str, Any]:
    """The tree with absolute paths for data files that exist only in the folder of the TOML file."""
    data = tree.get("data")
    if not isinstance(data, dict):
        return tree
    for key in ("train", "test"):
        name = data.get(key)
        if isinstance(name, str) and not Path(name).is_file() and (folder / name).is_file():
            data[key] = str((folder / name).resolve())
    return tree


def override_config(config: Experiment, overrides: Sequence[str], unset: Sequence[str] = ()) -> Experiment:
    """The configuration with ``section.key=value`` overrides applied, and the defaults of the keys in `unset`.

    Raises
    ------
    ConfigError : an unknown key or a value out of bounds; names the key.
    """
    return _overridden(config.model_dump(mode="json"), overrides, unset, "--set")


def changed_keys(old: Experiment, new: Experiment) -> dict[str, tuple[Any, Any]]:
    """Old and new JSON value of each key that differs; None for a missing key."""
    before, after = (_flat(config.model_dump(mode="json")) for config in (old, new))
    keys = dict.fromkeys([*before, *after])
    return {key: (before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)}


def check_resumable(old: Experiment, new: Experiment) -> None:
    """Raise ConfigError if a run that began with the configuration `old` cannot continue with `new`."""
    for key, (before, after) in changed_keys(old, new).items():
        if key in FIXED or key.partition(".")[0] in FIXED:
            raise ConfigError(f"{key}: a resumed run keeps {before!r}, got {after!r}; start another run with --run")


def parse_config(tree: dict[str, Any], origin: str) -> Experiment:
    """Check a configuration tree.

    Parameters
    ----------
    origin : Source of the tree, for error messages.

    Raises
    ------
    ConfigError : an unknown method, an unknown key or a value out of bounds; names the key.
    """
    name, known = str(tree.get("method", DEFAULT)), registered_methods()
    if name not in known:
        meant = did_you_mean(name, known)
        raise ConfigError(f"{origin}: method: {shorten(name)} is not one of {', '.join(known)}{meant}")
    kind = config_class(known[name])
    try:
        return kind.model_validate({"method": name} | tree)
    except ValidationError as error:
        raise ConfigError(f"{origin}: " + "; ".join(_problem(each, kind) for each in error.errors())) from error


def _problem(error: ErrorDetails, kind: type[Experiment]) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return unknown_key(shorten(key), kind, config_classes())
    return f"{key}: {error['msg']}, got {shorten(repr(error['input']))}"


def shorten(text: str) -> str:
    """The first `_MOST` characters of a text."""
    return text if len(text) <= _MOST else f"{text[:_MOST]}..."


def _flat(tree: dict[str, Any]) -> dict[str, Any]:
    sections = {key: value if isinstance(value, dict) else {"": value} for key, value in tree.items()}
    return {f"{key}.{name}".rstrip("."): value for key, values in sections.items() for name, value in values.items()}


def _overridden(
    tree: dict[str, Any],
    overrides: Sequence[str],
    unset: Sequence[str],
    origin: str,
    *,
    begun: Experiment | None = None,
    whole: bool = True,
) -> Experiment:
    before = _train_of(tree)
    for key in unset:
        _remove(tree, key.strip())
    for override in overrides:
        _apply(tree, override)
    if _train_of(tree) != before:
        own = {override.partition("=")[0].strip() for override in overrides}
        for key in (key for key in OF_THE_FILE if key not in own):
            _remove(tree, key)
    start_from = tree.get("start_from")
    if isinstance(start_from, str) and not whole:
        tree = inherited(tree, tree_of(start_from) if begun is None else begun.model_dump(mode="json"))
    config = parse_config(tree, origin)
    for key in unset:
        if key.strip() not in {known.dotted for known in keys_of(type(config))}:
            raise ConfigError(f"--unset {unknown_key(shorten(key.strip()), type(config), config_classes())}")
    return config


def _remove(tree: dict[str, Any], key: str) -> None:
    section, _, name = key.rpartition(".")
    table = tree.get(section) if section else tree
    if isinstance(table, dict):
        table.pop(name, None)


def _train_of(tree: dict[str, Any]) -> str:
    data = tree.get("data")
    return str(data.get("train", SHIPPED)) if isinstance(data, dict) else SHIPPED


def _apply(tree: dict[str, Any], override: str) -> None:
    key, separator, value = override.partition("=")
    if not separator:
        raise ConfigError(f"--set {shorten(override)}: write section.key=value")
    try:
        parsed = tomllib.loads(f"v = {value}")["v"]
    except tomllib.TOMLDecodeError:
        parsed = value  # a bare word is a string
    *sections, last = key.strip().split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"--set {shorten(override)}: {section} is not a section")
    tree[last] = parsed


def data_path(path: Path) -> Path:
    """The path of a data file: as given, or else in ``training/data`` of the checkout.

    Raises
    ------
    ConfigError : there is no file in either place.
    """
    checkout = Path(__file__).parents[2] / "data" / path
    for candidate in (path, checkout):
        if candidate.is_file():
            return candidate
    raise ConfigError(f"{path}: no such file, nor {checkout}; set data.train and data.test to your own files")


def held_out_path(data: DataConfig) -> Path:
    """The path of the test file.

    Raises
    ------
    ConfigError : no test file is set, or the file does not exist.
    """
    if data.test is None:
        raise ConfigError(
            f"no test file is set for {data.train}; name one with --test, or in data.test (`train-zdc split` divides "
            "one file by particle)"
        )
    return data_path(data.test)
