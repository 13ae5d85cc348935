"""Loads, replaces and unloads the models of a folder, by name and version, while requests run."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

from zdc_common.errors import ConfigError, ModelError, ModelNotFoundError, ZdcError, excerpt

from zdc_service.engine.engine import Engine
from zdc_service.engine.model_store import (
    Fingerprint,
    StoredModel,
    fingerprint,
    models_folder,
    read_model,
    version_folders,
    versions_with_card,
)
from zdc_service.engine.providers import Placement, place
from zdc_service.engine.warm_up import warm_up
from zdc_service.settings import EngineSettings
from zdc_service.telemetry.instruments import Instruments

log = logging.getLogger(__name__)

#: The default model if there are several.
SHIPPED_MODEL = "zn-fast"

State = Literal["READY", "LOADING", "UNAVAILABLE"]


@dataclass(frozen=True)
class IndexEntry:
    """State of one version in the models folder; the states are Triton's.

    Attributes
    ----------
    name, version : Name and version of the model.
    state : ``READY`` if it answers requests, else ``LOADING`` or ``UNAVAILABLE``.
    reason : Why the version is unavailable. If it is ready: why the files now in its folder have not replaced it.
    """

    name: str
    version: int
    state: State
    reason: str


@dataclass(frozen=True)
class _Version:
    """State of a version.

    Attributes
    ----------
    engine : The loaded engine, if any.
    looked : Fingerprint of its files when they were last read.
    doubtful : The files were invalid, but had just changed: perhaps they were still being copied.
    loading : Whether the version is being loaded.
    reason : Why the files were not loaded.
    """

    engine: Engine | None = None
    looked: Fingerprint | None = None
    doubtful: bool = False
    loading: bool = False
    reason: str = ""

    def entry(self, name: str, number: int) -> IndexEntry:
        """The entry of this version in the index."""
        state: State = "READY" if self.engine is not None else "LOADING" if self.loading else "UNAVAILABLE"
        return IndexEntry(name, number, state, self.reason)


_UNLOADED, _NOT_LOADED = _Version(reason="unloaded"), _Version(reason="not loaded yet")
_Versions = Mapping[int, _Version]
_Table = TypeVar("_Table", bound=Mapping[int, object])


class Repository:
    """The models of one folder. Thread-safe; `get` never waits for a load.

    A change replaces the whole table of a model at once, so that each request sees the model either before or after the
    change. Requests keep a reference to their engine: a replaced or unloaded engine is deleted after its last request.

    Attributes
    ----------
    default : Name of the model for requests that name none.
    """

    def __init__(
        self, folder: Path, open_engine: Callable[[StoredModel], Engine], default: str | None, instruments: Instruments
    ):
        """Load all models that have a card.

        Parameters
        ----------
        folder : Contains ``<name>/<version>/``.
        open_engine : Loads, checks and warms up one version, or raises ModelError.
        default : Name of the default model; None: the only model, or the shipped one.
        instruments : Report the loaded models and count refusals.

        Raises
        ------
        ConfigError : the folder does not have the default model.
        ModelError : a model does not match its card.
        """
        self._folder = folder
        self._open_engine = open_engine
        self._instruments = instruments
        self._versions: Mapping[str, _Versions] = {}
        self._serving: Mapping[str, Mapping[int, Engine]] = {}
        self._unloaded: frozenset[str] = frozenset()
        self._changing = threading.Lock()
        carded = versions_with_card(folder)
        if default is None:
            default = next(iter(carded)) if len(carded) == 1 else SHIPPED_MODEL
        if default not in carded:
            raise ConfigError(
                f"default model {default!r} is not among {sorted(carded)}; choose one with --default-model "
                "(zdc simulate: --model)"
            )
        self.default = default
        for name, paths in carded.items():
            self._update(name, paths, strict=True)

    def __iter__(self) -> Iterator[Engine]:
        return iter([engine for versions in self._serving.values() for engine in versions.values()])

    def get(self, name: str | None = None, version: int | None = None) -> Engine:
        """The engine of a model; by default the newest version of the default model.

        Raises
        ------
        ModelNotFoundError : no such model or version; the message names those that are loaded.
        """
        serving = self._serving
        chosen = name or self.default
        versions = serving.get(chosen)
        if versions is None:
            names = ", ".join(sorted(serving)) or "none"
            raise ModelNotFoundError(f"model {excerpt(chosen)} is not loaded; loaded are {names}")
        number = max(versions) if version is None else version
        if number not in versions:
            raise ModelNotFoundError(f"model {excerpt(chosen)} has no version {number}; loaded are {sorted(versions)}")
        return versions[number]

    def index(self) -> list[IndexEntry]:
        """All versions that are in the folder or loaded, by name and number; lists folders, but reads no file."""
        known = {name: dict(versions) for name, versions in self._versions.items()}
        with suppress(OSError):
            for name, folders in version_folders(self._folder).items():
                absent = _UNLOADED if name in self._unloaded else _NOT_LOADED
                for number in folders:
                    known.setdefault(name, {}).setdefault(number, absent)
        return [known[name][number].entry(name, number) for name in sorted(known) for number in sorted(known[name])]

    def load(self, name: str) -> None:
        """Read all versions of a model again, check them, and replace the loaded versions.

        Raises
        ------
        ModelNotFoundError : the folder has no such model.
        ModelError : a version has no card or does not match it; the loaded versions stay.
        """
        with self._changing:
            folders = self._folders()
            if not folders.get(name):
                names = ", ".join(other for other, numbers in folders.items() if numbers) or "none"
                raise ModelNotFoundError(f"model {excerpt(name)} is not in the models folder, which has {names}")
            self._update(name, folders[name], strict=True)
            self._unloaded -= {name}

    def unload(self, name: str) -> None:
        """Accept no more requests for a model until `load`; accepted requests are finished.

        The default model can be unloaded too, as in Triton: requests that name no model then get ModelNotFoundError.

        Raises
        ------
        ModelNotFoundError : there is no such model.
        """
        with self._changing:
            if name not in self._versions and name not in self._folders():
                raise ModelNotFoundError(f"model {excerpt(name)} is neither loaded nor in the models folder")
            self._unloaded |= {name}
            self._publish(name, dict.fromkeys(self._versions.get(name, {}), _UNLOADED))

    def refresh(self) -> None:
        """Check the folder: load new and changed versions, and unload versions that are no longer there.

        An invalid version is refused, and its loaded engine stays. It is read again when its files change, and once
        more if they had just changed, because the copy may have been incomplete. Models that were unloaded by `unload`
        are not loaded again.

        Raises
        ------
        ModelError : the folder cannot be read or has become empty, e.g. because a volume is not mounted; no model is
            changed.
        """
        with self._changing:
            folders = self._folders()
            if self._serving and not any(folders.values()):
                raise ModelError(
                    f"{self._folder}: the models folder is empty; check that its volume is mounted. Loaded models stay "
                    "in use until they are unloaded by name"
                )
            for name in sorted(folders.keys() | self._versions.keys()):
                numbers = folders.get(name, {})
                if name in self._unloaded:
                    self._publish(name, {n: v for n, v in self._versions.get(name, {}).items() if n in numbers})
                else:
                    self._update(name, numbers, strict=False)

    def _folders(self) -> dict[str, dict[int, Path]]:
        try:
            return version_folders(self._folder)
        except OSError as error:
            raise ModelError(f"{self._folder}: the models folder cannot be read: {error.strerror}") from error

    def _update(self, name: str, folders: Mapping[int, Path], strict: bool) -> None:
        """Update a model's versions from its folders; with `strict`, read all again and raise the first error."""
        old = self._versions.get(name, {})
        new = {}
        for number, path in folders.items():
            version = old.get(number, _Version())
            found = fingerprint(path)
            if strict or version.doubtful or version.looked != found:
                self._publish(name, {**old, number: replace(version, loading=True)})
                try:
                    version = _Version(self._read(path, version.engine), found)
                except BaseException as error:
                    if strict or not isinstance(error, ZdcError):
                        self._publish(name, old)
                        raise
                    version = self._refused(name, number, version, found, error)
            new[number] = version
        self._publish(name, new)

    def _read(self, path: Path, loaded: Engine | None) -> Engine:
        """Load the version in a folder; if its card is unchanged, keep the loaded engine.

        Raises
        ------
        ModelError : the files are invalid.
        ConfigError : the execution provider is not available.
        """
        try:
            model = read_model(path)
            if loaded is None or loaded.card != model.card:
                return self._open_engine(model)
            loaded.check_golden(model.golden)
        except ZdcError:
            raise
        except Exception as error:  # e.g. a file was deleted in the meantime, or there is not enough memory
            raise ModelError(f"{path}: cannot be read: {error}") from error
        return loaded

    def _refused(self, name: str, number: int, version: _Version, found: Fingerprint, error: ZdcError) -> _Version:
        settled = version.looked == found
        if settled:
            before = "; the version loaded before stays in use" if version.engine is not None else ""
            log.warning("model %s version %d is refused: %s%s", name, number, error, before)
            self._instruments.model_refusals.labels(name).inc()
        return replace(version, looked=found, doubtful=not settled, reason=str(error))

    def _publish(self, name: str, versions: _Versions) -> None:
        """Replace the versions of a model, and the engines that answer its requests."""
        before = self._serving.get(name, {})
        after = {number: version.engine for number, version in versions.items() if version.engine is not None}
        self._versions = _with(self._versions, name, versions)
        self._serving = _with(self._serving, name, after)
        for number, engine in before.items():
            if after.get(number) is not engine:
                self._instruments.model.remove(*_labels(engine))
                log.info("model %s version %d is %s", name, number, "replaced" if number in after else "unloaded")
        for number, engine in after.items():
            if before.get(number) is not engine:
                self._instruments.model.labels(*_labels(engine)).set(1)
                sha256 = engine.card.graph_sha256
                log.info("model %s version %d is ready on %s, sha256 %s", name, number, engine.provider, sha256)


def open_repository(settings: EngineSettings, instruments: Instruments) -> Repository:
    """Load and warm up the models of the settings' folder on the settings' device.

    Raises
    ------
    ConfigError : there is no model, no such default model, or the device is not available.
    ModelError : a model does not match its card.
    """
    placement: Placement | None = None

    def open_engine(model: StoredModel) -> Engine:
        nonlocal placement
        if placement is None:  # choose it with the first model, so that its files are read only once
            placement = place(settings, model)
        try:
            engine = Engine(model, placement)
            warm_up(engine)
        except ZdcError:
            raise
        except Exception as error:  # of onnxruntime, e.g. not enough memory
            raise ModelError(f"{model.folder}: the model cannot run: {error}") from error
        return engine

    return Repository(models_folder(settings.models), open_engine, settings.default_model, instruments)


def _with(table: Mapping[str, _Table], name: str, value: _Table) -> Mapping[str, _Table]:
    """A copy of a table with another value for a name; an empty value removes the name."""
    rest = {other: old for other, old in table.items() if other != name}
    return {**rest, name: value} if value else rest


def _labels(engine: Engine) -> tuple[str, str, str, str]:
    return engine.card.name, str(engine.card.version), engine.card.graph_sha256, engine.provider
