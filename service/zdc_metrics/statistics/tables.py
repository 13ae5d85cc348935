"""Cells and rows of tables in Markdown."""

Interval = tuple[float, float]


def row(*cells: str) -> str:
    """One row of a table."""
    return "| " + " | ".join(cells) + " |"


def header(*cells: str) -> list[str]:
    """The heading of a table: two lines."""
    return [row(*cells), row(*["---"] * len(cells))]


def number(value: float | None) -> str:
    """A number with three digits; a dash if undefined."""
    return "–" if value is None else f"{value:.3g}"


def span(interval: Interval | None) -> str:
    """An interval; a dash if undefined."""
    return "–" if interval is None else f"[{interval[0]:.3g}, {interval[1]:.3g}]"
