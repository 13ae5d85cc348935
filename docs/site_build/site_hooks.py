"""Hooks of mkdocs: pages that are made while the site is built, and links to files of the repository."""

import json
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from zdc_metrics.scores.report import HEADINGS
from zdc_service.cli import Zdc
from zdc_training.cli import TrainZdc

from command_pages import command_page
from http_page import http_page, openapi_document
from key_page import key_page
from proto_page import proto_page
from repository_pages import PAGES, ROOT, copy_of, linked_files, repository_page, source_of, with_links
from tutorial_page import as_notebook, cells_of, run_cells, tutorial_page

_TUTORIAL = "tutorials/compare-with-geant4"
#: Stands in `reference/figures-of-merit.md` for the table.
_FIGURES = "<!-- table of figures -->"
_PROTO = "proto/zdc/v1/simulation.proto"


def on_files(files: Files, *, config: MkDocsConfig, **_: Any) -> Files:
    """Add the pages that have no file in `docs`."""
    document = openapi_document()
    made: dict[str, str | bytes] = {
        "reference/zdc.md": command_page(Zdc),
        "reference/train-zdc.md": command_page(TrainZdc),
        "reference/training-keys.md": key_page(),
        "reference/http.md": http_page(document),
        "reference/openapi.json": json.dumps(document, indent=1),
        "reference/grpc.md": proto_page((ROOT / _PROTO).read_text(), f"../{copy_of(_PROTO)}"),
        copy_of(_PROTO): (ROOT / _PROTO).read_bytes(),
        **_tutorial(),
        **{page: repository_page(page) for page in PAGES},
    }
    pages = [file.src_uri for file in files.documentation_pages()] + list(PAGES)
    for page in pages:
        for file in linked_files((ROOT / source_of(page)).read_text(), page):
            made[copy_of(file)] = (ROOT / file).read_bytes()
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Complete a page in `docs`: its tables that are made from code, and its links that leave `docs`."""
    if page.file.generated_by:
        return markdown
    return with_links(markdown.replace(_FIGURES, _table_of_figures()), page.file.src_uri)


def _table_of_figures() -> str:
    rows = [f"| `{name}` | {heading} | {ideal} |" for name, (heading, ideal) in HEADINGS.items()]
    return "\n".join(["| name | figure | value of a perfect model |", "| --- | --- | --- |", *rows])


def _tutorial() -> dict[str, str | bytes]:
    cells = cells_of((ROOT / "docs" / f"{_TUTORIAL.replace('-', '_')}.py").read_text())
    text, pictures = tutorial_page(list(run_cells(cells, ROOT)), Path(_TUTORIAL).name)
    folder = Path(_TUTORIAL).parent
    return {
        f"{_TUTORIAL}.md": text,
        f"{_TUTORIAL}.ipynb": as_notebook(cells),
        **{str(folder / name): picture for name, picture in pictures.items()},
    }
