"""Files, modules and sections named in the documents for contributors exist; the pictures show the import rules."""

import re
import runpy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
#: Documents whose backticked paths and modules are checked, and the folders that their paths start from.
NAMING = {
    "docs/architecture.md": ("",),
    "docs/glossary.md": ("",),
    "docs/release.md": ("",),
    "CONTRIBUTING.md": ("",),
    "tests/README.md": ("", "tests", "tests/helpers", "service"),
}
#: Documents whose relative links are checked. The site checks the links within `docs` when it is built.
LINKING = (
    "service/README.md",
    "README.md",
    "service/README.md",
    "CONTRIBUTING.md",
    "CODE_OF_CONDUCT.md",
    "tests/README.md",
    "docs/architecture.md",
    "docs/glossary.md",
    "docs/release.md",
)

_CODE = re.compile(r"`([^`\n]+)`")
_FILE = re.compile(r"[\w.-]+/[\w./-]*|[\w-]+\.(?:py|md|toml|json|npz|proto|svg)")
_MODULE = re.compile(r"zdc_(?:common|detector|metrics|service|training)(?:\.\w+)+")
_LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")


def named_in(document: str) -> list[str]:
    """The texts in backticks outside code blocks."""
    text = re.sub(r"^```.*?^```", "", (ROOT / document).read_text(), flags=re.DOTALL | re.MULTILINE)
    return _CODE.findall(text)


def made(path: str) -> bool:
    """Whether a path exists only after a command or in a request."""
    return path.startswith((".venv/", "build/", "runs/", "v2/", "/"))


@pytest.mark.parametrize("document", NAMING)
def test_paths_exist(document: str) -> None:
    paths = {name for name in named_in(document) if _FILE.fullmatch(name) and "/" in name and not made(name)}
    missing = [path for path in sorted(paths) if not any((ROOT / base / path).exists() for base in NAMING[document])]
    assert not missing


@pytest.mark.parametrize("document", NAMING)
def test_modules_exist(document: str) -> None:
    names = {name for name in named_in(document) if _MODULE.fullmatch(name)}
    assert not [name for name in sorted(names) if not importable(name)]


def importable(name: str) -> bool:
    """Whether a dotted name is a module, or an attribute of one."""
    attributes: list[str] = []
    parent = name
    while not found(parent):
        parent, _, last = parent.rpartition(".")
        if not parent:
            return False
        attributes.insert(0, last)
    value: Any = __import__(parent, fromlist=["_"])
    for attribute in attributes:
        # a field of a pydantic or data class is not an attribute of the class
        fields = getattr(value, "__annotations__", {})
        if not hasattr(value, attribute):
            return attribute in fields
        value = getattr(value, attribute)
    return True


def found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("document", LINKING)
def test_links_lead_somewhere(document: str) -> None:
    text = re.sub(r"^```.*?^```", "", (ROOT / document).read_text(), flags=re.DOTALL | re.MULTILINE)
    dead = []
    for link in (first or second for first, second in _LINK.findall(text)):
        path, _, anchor = link.partition("#")
        target = (ROOT / document).parent / path if path else ROOT / document
        if re.match(r"\w+:", link):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert not dead


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and Python-Markdown make them, and those written as HTML."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}
    return slugs | set(re.findall(r"<a id=\"([^\"]+)\"", text))


def test_pictures_show_the_import_rules() -> None:
    """If this fails: ``python docs/pictures/draw.py`` draws them again. Look at them before you commit."""
    folder = ROOT / "docs" / "pictures"
    drawn = runpy.run_path(str(folder / "draw.py"))["pictures"]()
    assert {name: (folder / name).read_text() for name in drawn} == drawn


def test_paths_are_found_in_the_text() -> None:
    """The checks above are not empty."""
    names = named_in("docs/architecture.md")
    assert "service/zdc_detector/kernels.py" in names
    assert "zdc_service.status.STATUSES" in names
