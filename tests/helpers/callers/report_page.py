"""The content of an HTML report, for `test_validate*.py`."""

from base64 import b64decode
from dataclasses import dataclass, field
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from matplotlib.image import imread

#: Elements that have no end.
_VOID = {"meta", "img", "link", "br"}


@dataclass
class ReportPage(HTMLParser):
    """A parsed report.

    Attributes
    ----------
    text : All text outside of styles.
    tables : Rows of cells, the head first.
    images : Media type and content of every image.
    links : Targets of all references except images.
    open : Elements that are not closed.
    """

    text: str = ""
    tables: list[list[list[str]]] = field(default_factory=list)
    images: list[tuple[str, bytes]] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    @classmethod
    def read(cls, path: Path) -> "ReportPage":
        """Parse a file; every element must be closed, in order."""
        page = cls()
        page.feed(path.read_text())
        page.close()
        assert page.open == []
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record an element and its target."""
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        for name, value in attrs:
            if tag == "img" and name == "src":
                kind, _, content = (value or "").partition(";base64,")
                self.images.append((kind, b64decode(content, validate=True)))
            elif name in ("src", "href", "srcset", "data", "action", "poster"):
                self.links.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        """Check the end of an element."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Record text."""
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data
        if "style" in self.open:
            assert "url(" not in data
            assert "@import" not in data
        else:
            self.text += data

    def check_images(self) -> None:
        """Check that every image is complete, not empty, and without external references."""
        for kind, content in self.images:
            if kind == "data:image/png":
                assert imread(BytesIO(content))[..., :3].std() > 0.02
                continue
            assert kind == "data:image/svg+xml"
            root = ElementTree.fromstring(content)
            assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) > 5
            names = {node.get("id") for node in root.iter()}
            for node in root.iter():
                leads = node.get("{http://www.w3.org/1999/xlink}href", "#")
                assert leads.startswith(("#", "data:image/png;base64,"))
                if leads.startswith("#m"):
                    assert leads[1:] in names

    def table(self, head: str) -> list[list[str]]:
        """The first table whose head starts with these cells."""
        return next(table for table in self.tables if table[0][0] == head)


def number(cell: str) -> float:
    """A cell; nan for a dash."""
    return np.nan if cell == "–" else float(cell)
