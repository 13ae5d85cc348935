"""The documentation site: it builds without a warning, is complete, and needs no network."""

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import zdc_service.client
from helpers.callers.browser import CHROMIUM, WITHOUT_CHROMIUM, launched
from playwright.sync_api import sync_playwright
from zdc_service.settings import ServerSettings

ROOT = Path(__file__).parents[3]
#: What a browser loads without being asked to.
_LOADED = re.compile(r"<(?:script|img|iframe)[^>]*\ssrc=\"([^\"]*)\"|<link[^>]*\shref=\"([^\"]*)\"[^>]*>")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. The build runs the tutorial, and fails if a link or an anchor leads nowhere."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_public_name_of_the_client_is_in_the_reference(site: Path) -> None:
    page = (site / "reference" / "client.html").read_text()
    headings = set(re.findall(r'<h[2-4] id="zdc_[\w.]*?(\w+)"', page))
    assert set(zdc_service.client.__all__) <= headings


def test_every_option_and_every_field_of_a_request_is_in_the_reference(site: Path) -> None:
    options = (site / "reference" / "zdc.html").read_text()
    for name in ServerSettings.model_fields:
        assert f"<code>--{name.replace('_', '-')}</code>" in options
        assert f"<code>ZDC_{name.upper()}</code>" in options
    routes = json.loads((site / "reference" / "openapi.json").read_text())["paths"]
    page = (site / "reference" / "http.html").read_text()
    assert "/simulate" in routes
    assert all(
        f"<code>{method.upper()} {path}</code>" in page for path, methods in routes.items() for method in methods
    )
    messages = (ROOT / "proto" / "zdc" / "v1" / "simulation.proto").read_text()
    fields = re.findall(r"^  .*\b(\w+) = \d+;", messages, re.MULTILINE)
    page = (site / "reference" / "grpc.html").read_text()
    assert len(fields) > 40
    assert all(f"<code>{field}</code>" in page for field in fields)


def test_parameters_of_docstrings_have_their_descriptions(site: Path) -> None:
    """`numpy_sections` makes griffe read ``name : description``; otherwise the description would be the type."""
    page = re.sub(r"<[^>]+>|\s+", " ", (site / "reference" / "client.html").read_text())
    described = inspect.getdoc(zdc_service.client.ClientOptions) or ""
    sentence = re.search(r"rows_per_request : (.{20})", described)
    assert sentence is not None
    assert re.search(rf"rows_per_request +\( *int *.*? – +{re.escape(sentence[1])}", page)


def test_tutorial_shows_what_it_computed(site: Path) -> None:
    page = (site / "tutorials" / "compare-with-geant4.html").read_text()
    assert "6000, 44, 44" in page
    for name in ("compare-with-geant4-1.png", "compare-with-geant4-2.png"):
        assert f'src="{name}"' in page
        assert (site / "tutorials" / name).read_bytes().startswith(b"\x89PNG")
    notebook = json.loads((site / "tutorials" / "compare-with-geant4.ipynb").read_text())
    assert {cell["cell_type"] for cell in notebook["cells"]} == {"code", "markdown"}


def test_nothing_is_loaded_from_the_network(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        if page.name == "404.html":  # of the root of a web server: its links are absolute paths
            continue
        for found in _LOADED.finditer(page.read_text()):
            path = (found[1] or found[2]).split("#")[0].split("?")[0]
            assert not re.match(r"\w+:|//", path) or path.startswith("data:"), f"{page}: {path}"
            assert (page.parent / path).exists() or path.startswith("data:"), f"{page}: {path}"


@pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT_CHROMIUM)
def test_search_works_from_a_folder_and_asks_no_server(site: Path) -> None:
    asked: list[str] = []
    with sync_playwright() as playwright, launched(playwright) as browser:
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto((site / "index.html").as_uri())
        page.get_by_role("textbox", name="Search").fill("Wasserstein distance")
        page.locator(".md-search-result__link").first.wait_for()
        titles = page.locator(".md-search-result__list h1").all_text_contents()
    assert "Figures of merit" in titles
    assert asked
    assert {url.partition(":")[0] for url in asked} <= {"file", "blob", "data"}
