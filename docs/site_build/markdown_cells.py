"""Text in cells of Markdown tables."""

import re


def cell(text: str) -> str:
    """Text on one line, without characters that Markdown or HTML would interpret."""
    return re.sub(r"([|*\[])", r"\\\1", " ".join(text.split())).replace("<", "&lt;")
