"""Errors as a server reports them, back to the classes that it raised."""

from collections.abc import Iterator

from zdc_detector.errors import ZdcError


def error_of(kind: str, message: str) -> ZdcError:
    """The error of a kind; kinds that this version does not know are plain `ZdcError`."""
    for known in _tree(ZdcError):
        if known.kind == kind:
            return known(message)
    return ZdcError(message)


def _tree(root: type[ZdcError]) -> Iterator[type[ZdcError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)
