"""The loaded models by name and version."""

from collections.abc import Iterable, Iterator

from zdc_detector.errors import ConfigError, ModelNotFoundError

from zdc_service.engine import Engine, choose_provider
from zdc_service.model_store import StoredModel

#: Default among several models.
SHIPPED_MODEL = "zn-e2esae"


class Repository:
    """All loaded models by name and version."""

    def __init__(self, engines: Iterable[Engine], default: str | None):
        """Raise ConfigError where `default` is not loaded, or is None and cannot be chosen."""
        self._engines: dict[str, dict[int, Engine]] = {}
        for engine in engines:
            self._engines.setdefault(engine.card.name, {})[engine.card.version] = engine
        names = sorted(self._engines)
        if default is None:
            default = names[0] if len(names) == 1 else SHIPPED_MODEL
        if default not in self._engines:
            raise ConfigError(
                f"default model {default!r} is not among {names}; name one with --default-model (zdc simulate: --model)"
            )
        self.default = default

    def __iter__(self) -> Iterator[Engine]:
        return iter([engine for versions in self._engines.values() for engine in versions.values()])

    def get(self, name: str | None = None, version: int | None = None) -> Engine:
        """The engine of a model; no name is the default model, no version its newest.

        Raises
        ------
        ModelNotFoundError : no such model or version; names those that are loaded.
        """
        chosen = name or self.default
        versions = self._engines.get(chosen)
        if versions is None:
            raise ModelNotFoundError(f"model {chosen!r} is not loaded; loaded are {', '.join(sorted(self._engines))}")
        number = version or max(versions)
        if number not in versions:
            raise ModelNotFoundError(f"model {chosen!r} has no version {number}; loaded are {sorted(versions)}")
        return versions[number]


def load_models(models: Iterable[StoredModel], device: str, default: str | None) -> Repository:
    """Load every model on a device.

    Raises
    ------
    ModelError : a model is not what its card says.
    ConfigError : ``cuda`` cannot be had, or the default model is not among them.
    """
    stored = list(models)
    provider = choose_provider(device, stored[0])
    return Repository([Engine(model, provider) for model in stored], default)
