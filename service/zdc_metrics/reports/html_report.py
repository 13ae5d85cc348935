"""A report as one HTML file: text, tables and figures, light and dark, nothing fetched from anywhere.

>>> blocks = [TextBlock("..."), TableBlock(head, rows), PictureBlock(figure, "what is seen")]
>>> write_report(path, "Table 1", [ReportSection("Figures", blocks)])

Whatever stands in a block is text: it is escaped, never taken for HTML.
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

#: Begins like a number, an interval or a dash for what is undefined, and holds no word.
_NUMBER = re.compile(r"[-+\[\d–](?:[^A-Za-z]|(?<=\d)e(?=[-+]\d))*$")

#: A space between numbers that belong together: ``1 / 2``, ``1 ± 2``, ``[1, 2]``, ``(1; 2)``.
_WITHIN = re.compile(r" (?=[/±] )|(?<= [/±]) |(?<=\d[,;]) (?=[-+\d–])")


@dataclass(frozen=True)
class TextBlock:
    """A paragraph; a `warning` stands out."""

    text: str
    warning: bool = False
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class TableBlock:
    """Cells as they are to be read; columns of numbers are set to the right. A row has as many cells as the head."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    kind: ClassVar[str] = "table"

    @property
    def numeric(self) -> list[bool]:
        """Whether a column holds numbers alone."""
        return [all(_NUMBER.match(cell) for cell in column) for column in zip(*self.rows, strict=True)]


@dataclass(frozen=True)
class PictureBlock:
    """A figure of matplotlib.

    Attributes
    ----------
    figure : Encoded when the report is written.
    caption : Below it, and for who cannot see it.
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
    """Blocks under a heading; `folded` ones show their heading alone until they are opened."""

    title: str
    blocks: Sequence[Block] = field(default_factory=list)
    folded: bool = False


def write_report(path: Path, title: str, sections: Sequence[ReportSection], lead: str = "") -> None:
    """Write the file, whole or not at all.

    Parameters
    ----------
    title : Of the page.
    sections : In their order; the first ones should say what was found.
    lead : A paragraph below the title.
    """
    environment = Environment(
        loader=PackageLoader("zdc_metrics.reports", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["unbroken"] = unbroken
    page = environment.get_template("html_report.html.jinja").render(title=title, sections=sections, lead=lead)
    write_whole(path, page)


def unbroken(cell: str) -> str:
    """A cell that may be broken between a pair of numbers and an interval, not within either."""
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
