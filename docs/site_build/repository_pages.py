"""Pages whose text is a Markdown file elsewhere in the repository, and links from pages to files of the repository."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: Page -> file. Each file is written for its folder, and is shown here as it is.
PAGES = {
    "how-to/alice-o2.md": "training/zdc_training/export/alice_o2.md",
    "how-to/batch-systems.md": "deploy/jobs/README.md",
    "physics/benchmarks.md": "tests/load/README.md",
    "physics/data.md": "training/data/README.md",
    "physics/experiments.md": "training/EXPERIMENTS.md",
    "physics/zn-e2esae.md": "models/zn-e2esae/1/README.md",
    "physics/zn-fast.md": "models/zn-fast/1/README.md",
    "reference/changelog.md": "CHANGELOG.md",
    "reference/cpp.md": "service/cpp/README.md",
}
_PAGE_OF = {file: page for page, file in PAGES.items()}
_LINK = re.compile(r"""(\]\(|\bsrc=")([^)"\s#]*)(#[^)"\s]*)?(\)|")""")
_CODE = re.compile(r"(^```.*?^```$|^ {4}.*?$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
_TEMPLATE = "how-to/alice-o2.md"
_ABOUT_TEMPLATE = (
    "`train-zdc export RUN --format o2` writes this text with its files, and replaces the words in capital letters."
)
#: Placeholders of a template, such as <name>: a browser would take them for HTML.
_PLACEHOLDER = re.compile(r"<([a-z]+(?: [a-z]+)*)>")


def repository_page(page: str) -> str:
    """The text of a page of `PAGES`."""
    text = (ROOT / PAGES[page]).read_text()
    if page == _TEMPLATE:
        text = _PLACEHOLDER.sub(lambda found: found[1].upper(), text)
        _, _, body = text.partition("\n")
        text = f"# ALICE O2\n\n{_ABOUT_TEMPLATE}\n\n{body.lstrip()}"
    return with_links(text, page)


def with_links(text: str, page: str) -> str:
    """The text with links that lead to pages of the site, or to copies of the repository's files.

    A link to a folder becomes plain text: a folder has no page.
    """
    parts = _CODE.split(text)
    parts[::2] = [_LINK.sub(lambda found: _rewritten(found, page), part) for part in parts[::2]]
    return re.sub(r"\[([^\]]*)\]\(FOLDER\)", r"\1", "".join(parts))


def linked_files(text: str, page: str) -> Iterator[str]:
    """The files of the repository outside `docs` that a page links to; the site needs copies of them."""
    for part in _CODE.split(text)[::2]:
        for found in _LINK.finditer(part):
            target = _target(found[2], page)
            if target and target not in _PAGE_OF and not target.startswith("docs/") and (ROOT / target).is_file():
                yield target


def source_of(page: str) -> str:
    """The file of the repository that has the text of a page."""
    return PAGES.get(page, f"docs/{page}")


def copy_of(file: str) -> str:
    """Path of the site's copy of a file of the repository."""
    return f"files/{file}"


def _target(link: str, page: str) -> str:
    """The path in the repository of a relative link; empty for any other link."""
    if not link or re.match(r"[a-z]+:|/", link):
        return ""
    return os.path.normpath(Path(source_of(page)).parent / link)


def _rewritten(found: re.Match[str], page: str) -> str:
    target = _target(found[2], page)
    if not target:
        return found[0]
    if target in _PAGE_OF:
        place = _PAGE_OF[target]
    elif target.startswith("docs/"):
        place = target.removeprefix("docs/")
    elif (ROOT / target).is_file():
        place = copy_of(target)
    elif (ROOT / target).is_dir():
        return f"{found[1]}FOLDER{found[4]}"
    else:
        return found[0]  # mkdocs reports it
    return f"{found[1]}{os.path.relpath(place, Path(page).parent)}{found[3] or ''}{found[4]}"
