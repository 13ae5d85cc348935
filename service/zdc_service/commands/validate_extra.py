"""Check that the packages of the extra ``validate`` are installed."""

from importlib import import_module

from zdc_common.errors import ConfigError
from zdc_common.words import install_advice

#: Packages that `zdc_metrics` imports in addition to numpy.
_PACKAGES = ("scipy", "sklearn", "threadpoolctl", "matplotlib", "mplhep", "jinja2")


def need_validate_extra(command: str) -> None:
    """Raise ConfigError, with the command that installs them, if a package of ``validate`` is missing."""
    for name in _PACKAGES:
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            raise ConfigError(f"{command} needs the package {error.name}; {install_advice('validate')}") from error
