"""The registry of training methods: those of this package, and those that other packages register.

A method is one entry: its name and its configuration class, a subclass of `zdc_training.config.sections.Experiment`
whose key `method` has that name and whose `implementation` names a `zdc_training.nn.method.Method`. All of it may be in
one module. A method of this package is a line in `BUILT_IN`. Another package registers its methods as entry points:

    [project.entry-points."zdc_training.methods"]
    flow = "my_package.flow:FlowConfig"

Then a configuration with ``method = "flow"`` is trained, evaluated and exported as those of this package are, and
``train-zdc keys`` lists its keys.
"""

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points

from zdc_common.errors import ConfigError

from zdc_training.config.sections import Experiment

#: Entry points of this group are methods of other packages.
GROUP = "zdc_training.methods"

#: Name of each method of this package, and its configuration class.
BUILT_IN: Mapping[str, str] = {
    "sinkhorn": "zdc_training.config.images:SinkhornConfig",
    "vae": "zdc_training.config.images:VaeConfig",
    "wae": "zdc_training.config.images:WaeConfig",
    "swae": "zdc_training.config.images:SwaeConfig",
    "sae": "zdc_training.config.images:SaeConfig",
    "dcgan": "zdc_training.config.images:DcganConfig",
    "fast": "zdc_training.config.fast:FastConfig",
}

#: The method of a configuration that names none.
DEFAULT = "sinkhorn"


def registered_methods() -> dict[str, EntryPoint]:
    """The entry of each method by name, those of this package first; no module of a method is imported.

    Raises
    ------
    ConfigError : two packages register one name.
    """
    found = {name: EntryPoint(name, value, GROUP) for name, value in BUILT_IN.items()}
    for entry in entry_points(group=GROUP):
        if entry.name in found:
            raise ConfigError(
                f"method {entry.name} is registered twice, by {found[entry.name].value} and by {entry.value}: "
                "uninstall one of the packages"
            )
        found[entry.name] = entry
    return found


def config_class(method: EntryPoint) -> type[Experiment]:
    """The configuration class of a registered method.

    Raises
    ------
    ConfigError : its package cannot be imported, or the entry names no configuration class of this method.
    """
    where = f"method {method.name}: {method.value}"
    try:
        kind = method.load()
    except Exception as error:  # of a module of another package
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{where} cannot be imported ({reason}); repair or uninstall its package") from error
    if not (isinstance(kind, type) and issubclass(kind, Experiment)):
        raise ConfigError(f"{where} is no subclass of zdc_training.config.sections.Experiment")
    if kind.model_fields["method"].default != method.name:
        raise ConfigError(f"{where}: the default of its key `method` must be {method.name!r}")
    return kind


def config_classes() -> dict[str, type[Experiment]]:
    """The configuration class of every registered method, by name.

    Raises
    ------
    ConfigError : see `config_class`.
    """
    return {name: config_class(method) for name, method in registered_methods().items()}
