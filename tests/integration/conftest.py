"""A browser, validated responses, and the input of jobs."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from helpers.files.simulate_runs import ROWS, write_particles
from helpers.files.validated import Validated, validated_in
from helpers.models.tiny_model import write_model
from helpers.servers.running_server import RunningServer

if TYPE_CHECKING:  # most tests here need no browser, nor its driver
    from helpers.callers.browser import Reader
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """One browser per module: its driver occupies the event loop of this thread, which other modules need."""
    from helpers.callers.browser import CHROMIUM, WITHOUT_CHROMIUM, launched
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        pytest.skip(WITHOUT_CHROMIUM)
    with sync_playwright() as playwright:
        running = launched(playwright)
        yield running
        running.close()


@pytest.fixture
def visit(browser: "Browser", server: RunningServer) -> "Iterator[Callable[..., Reader]]":
    """Opens the page of `server`, or of another URL, in contexts with the given options."""
    from helpers.callers.browser import Reader

    readers: list[Reader] = []

    def opened(url: str = server.http, wait: bool = True, **options: Any) -> Reader:
        readers.append(Reader(browser.new_context(**options).new_page(), url))
        if wait:
            readers[-1].open()
        else:
            readers[-1].page.goto(url)
        return readers[-1]

    yield opened
    for reader in readers:
        reader.leave()


@pytest.fixture(scope="session")
def validated(tmp_path_factory: pytest.TempPathFactory, models_folder: Path) -> Validated:
    """Files of a validation; tests must not change them."""
    return validated_in(tmp_path_factory.mktemp("validate"), models_folder)


@pytest.fixture(scope="session")
def one_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of ``tiny`` alone, which is then the default."""
    root = tmp_path_factory.mktemp("models")
    write_model(root)
    return root


@pytest.fixture(scope="session")
def particle_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ROWS` particles."""
    return write_particles(tmp_path_factory.mktemp("input") / "particles.csv", ROWS)
