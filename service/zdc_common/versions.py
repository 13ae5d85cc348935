"""Versions of installed packages."""

from importlib.metadata import PackageNotFoundError, version


def installed_version(package: str = "zdc-fastsim") -> str:
    """The version of a package; ``unknown`` if it is not installed, as in a checkout without its environment."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
