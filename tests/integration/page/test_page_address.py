"""The choices in the address of the page at ``/``: reloaded, shared, written by hand."""

from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from helpers.callers.browser import Reader
from helpers.servers.running_server import RunningServer
from playwright.sync_api import expect

Open = Callable[..., Reader]
REMEDY = "Choose a model, or simulate with tiny version 2."


def address(reader: Reader) -> dict[str, str]:
    """The part of the address after the #."""
    return {name: value for name, (value,) in parse_qs(urlsplit(reader.page.url).fragment).items()}


def test_another_reader_of_the_address_sees_the_same(visit: Open) -> None:
    reader = visit()
    assert "seed" not in address(reader)  # it was drawn
    with reader.answered():
        reader.page.locator("#species").select_option("gamma (22)")
    for field, value in (("energy", 321), ("x", -1.5), ("y", 2.25), ("vz", -4), ("repeats", 3), ("seed", 99)):
        reader.fill(field, value)
    asked = {"pdg": "22", "energy": "321", "x": "-1.5", "y": "2.25", "vz": "-4", "repeats": "3", "seed": "99"}
    assert address(reader) == {"model": "tiny", "version": "2", **asked}
    other = visit(wait=False, url=reader.url)
    with other.answered():
        other.page.goto(reader.page.url)
        other.page.reload()
    assert other.body() == reader.body()
    assert other.captions("model-gallery") == reader.captions("model-gallery")
    assert other.page.locator("#keep-seed").is_checked()


def test_another_model_in_the_address(visit: Open, server: RunningServer) -> None:
    reader = visit()
    with reader.answered():
        reader.page.goto(f"{server.http}/#model=tiny&version=1&repeats=2")  # of this page: no reload
    assert [reader.body()[name] for name in ("model", "version", "repeats")] == ["tiny", 1, 2]
    with reader.answered():
        reader.page.go_back()
    assert reader.body()["version"] == 2


@pytest.mark.parametrize(
    ("fragment", "said"),
    [
        ("model=gone", f"The address has the model gone, which is not loaded here. {REMEDY}"),
        ("model=tiny&version=7", f"The address has the model tiny version 7, which is not loaded here. {REMEDY}"),
        ("pdg=13", "The address has PDG code 13, which tiny does not know; choose a species."),
        ("energy=high", "Energy must be a number."),
        ("energy=1e999&x=0", "Energy must be a number."),
    ],
)
def test_invalid_addresses_are_explained(visit: Open, server: RunningServer, fragment: str, said: str) -> None:
    reader = visit(f"{server.http}", wait=False)
    reader.settled()
    reader.page.goto(f"{server.http}/#{fragment}")
    expect(reader.page.locator("#problem p")).to_have_text(said)
    reader.fill("energy", 500)  # the form is ready
    assert reader.alert() == ""


def test_choices_of_an_address_are_refused_like_others(visit: Open, server: RunningServer) -> None:
    reader = visit()
    with reader.answered(422):
        reader.page.goto(f"{server.http}/#energy=9000")
    assert "trained range" in reader.alert()
    with reader.answered():
        reader.page.goto(f"{server.http}/#unknown=1")  # nothing that the page knows
    assert reader.alert() == ""
