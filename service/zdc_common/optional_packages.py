"""Packages of the optional extra `hep`, which formats of files need."""

from importlib import import_module
from types import ModuleType

from zdc_common.errors import ConfigError
from zdc_common.words import install_advice


def hep_package(name: str, purpose: str) -> ModuleType:
    """Import a package of the optional extra `hep`.

    Raises
    ------
    ConfigError : it is not installed; says how to install it.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError(f"{purpose} need the package {error.name}; {install_advice('hep')}") from error
