"""Cells and rows of Markdown tables."""

Interval = tuple[float, float]


def row(*cells: str) -> str:
    """One line of a table."""
    return "| " + " | ".join(cells) + " |"


def header(*cells: str) -> list[str]:
    """The two lines above a table's body."""
    return [row(*cells), row(*["---"] * len(cells))]


def number(value: float | None) -> str:
    """Three digits, a dash for what is undefined."""
    return "–" if value is None else f"{value:.3g}"


def span(interval: Interval | None) -> str:
    """An interval, a dash for what is undefined."""
    return "–" if interval is None else f"[{interval[0]:.3g}, {interval[1]:.3g}]"
