"""A report as one HTML file with text, tables and figures, for light and dark mode; it loads nothing from elsewhere.

>>> blocks = [TextBlock("..."), TableBlock(head, rows), PictureBlock(figure, "what is seen")]
>>> write_report(path, "Table 1", [ReportSection("Figures", blocks)])

The content of a block is text and is escaped; it is never HTML.
"""

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from zdc_common.whole_file import write_whole

from zdc_metrics.reports.plot_style import encoded

#: A cell of a numeric column: it starts like a number, an interval or a dash (undefined), and has no words.
_NUMBER = re.compile(r"[-+\[\d–](?:[^A-Za-z]|(?<=\d)e(?=[-+]\d))*$")

#: A space between numbers that belong together: ``1 / 2``, ``1 ± 2``, ``[1, 2]``, ``(1; 2)``.
_WITHIN = re.compile(r" (?=[/±] )|(?<= [/±]) |(?<=\d[,;]) (?=[-+\d–])")


@dataclass(frozen=True)
class TextBlock:
    """A paragraph; a `warning` is highlighted."""

    text: str
    warning: bool = False
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class TableBlock:
    """Formatted cells; columns of numbers are right-aligned. A row has as many cells as the head."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    kind: ClassVar[str] = "table"

    @property
    def numeric(self) -> list[bool]:
        """Whether a column has only numbers."""
        return [all(_NUMBER.match(cell) for cell in column) for column in zip(*self.rows, strict=True)]


@dataclass(frozen=True)
class PictureBlock:
    """A figure of matplotlib.

    Attributes
    ----------
    figure : The figure; it is encoded when the report is written.
    caption : Text below it, and alternative text for screen readers.
    format : ``svg`` for lines, whose dark form is made of them by the browser; ``png`` for images, which stay as they
        are.
    """

    figure: Figure
    caption: str
    format: Literal["svg", "png"] = "svg"
    kind: ClassVar[str] = "picture"

    @cached_property
    def uri(self) -> str:
        """The whole figure as a ``data:`` address."""
        media = "image/svg+xml" if self.format == "svg" else "image/png"
        return f"data:{media};base64,{b64encode(encoded(self.figure, self.format)).decode()}"


Block = TextBlock | TableBlock | PictureBlock


@dataclass(frozen=True)
class ReportSection:
    """Blocks under a heading; a `folded` section shows only its heading until it is opened."""

    title: str
    blocks: Sequence[Block] = field(default_factory=list)
    folded: bool = False


def write_report(path: Path, title: str, sections: Sequence[ReportSection], lead: str = "") -> None:
    """Write the file completely or not at all.

    Parameters
    ----------
    title : Title of the page.
    sections : Sections in their order; the first ones should have the results.
    lead : Paragraph below the title.
    """
    environment = Environment(
        loader=PackageLoader("zdc_metrics.reports", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["unbroken"] = unbroken
    page = environment.get_template("html_report.html.jinja").render(title=title, sections=sections, lead=lead)
    write_whole(path, page)


def unbroken(cell: str) -> str:
    """A cell with line breaks allowed between values and intervals, but not inside them."""
    return _WITHIN.sub("\N{NO-BREAK SPACE}", cell)


def markdown_blocks(text: str) -> Iterator[TextBlock | TableBlock]:
    """Paragraphs and tables of the Markdown that `zdc_metrics.Report.to_markdown` writes; other marks stay as text."""
    for part in re.split(r"\n\s*\n", text.strip()):
        lines = part.splitlines()
        if not lines[0].startswith("|"):
            yield TextBlock(" ".join(line.lstrip("# ") for line in lines))
            continue
        head, _, *rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
        yield TableBlock(head, rows)
