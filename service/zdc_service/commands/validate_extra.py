"""What only some commands need: packages of the extra ``validate``."""

from importlib import import_module

from zdc_common.errors import ConfigError
from zdc_common.words import install_advice

#: What `zdc_metrics` imports beside numpy.
_PACKAGES = ("scipy", "sklearn", "threadpoolctl", "matplotlib", "mplhep", "jinja2")


def need_validate_extra(command: str) -> None:
    """Raise ConfigError, which says how to install them, unless the packages of ``validate`` are there."""
    for name in _PACKAGES:
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            raise ConfigError(f"{command} needs the package {error.name}; {install_advice('validate')}") from error
