"""Phrases of messages."""


def counted(number: int, noun: str) -> str:
    """A count with its noun, e.g. ``1 row`` or ``2 rows``; the plural of the noun must end in s."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def counted_are(number: int, noun: str) -> str:
    """A count with its noun and verb: ``1 row is`` or ``2 rows are``."""
    return f"{counted(number, noun)} {'is' if number == 1 else 'are'}"


def install_advice(extra: str) -> str:
    """How to install the packages of an optional extra, e.g. ``hep``; the package is not on PyPI."""
    return f"in a checkout of zdc-fastsim run: pip install '.[{extra}]'"


def short(value: object, most: int = 100) -> str:
    """Another program's message on one line, truncated to `most` characters."""
    text = " ".join(str(value).split())
    return text if len(text) <= most else f"{text[:most]} ..."
