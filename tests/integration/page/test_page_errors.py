"""Error messages of the page at ``/``, and the entry of a token."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from helpers.callers.browser import Reader
from helpers.servers.full_queue import ROWS, FullQueueServer
from helpers.servers.running_server import RunningServer
from playwright.sync_api import expect
from zdc_service.settings import ServerSettings

Open = Callable[..., Reader]
TOKEN = "alice-0123456789abcdef"


@pytest.fixture
def guarded(models_folder: Path, tmp_path: Path) -> Iterator[RunningServer]:
    (tmp_path / "tokens").write_text(f"{TOKEN}\n")
    settings = ServerSettings(
        models=models_folder, default_model="tiny", http_port=0, grpc_port=0, threads=1,
        token_files=[tmp_path / "tokens"],
    )  # fmt: skip
    running = RunningServer(settings)
    yield running
    running.stop()


REFUSED = [
    ("energy", "5000", 422, "5000 GeV is outside the trained range [50, 2600] GeV of n"),
    ("vz", "40", 422, "vz = 40 cm is outside the trained range [-30, 30] cm"),
    ("repeats", "4000", 413, "The request is too large: "),
    ("repeats", "0", 422, "repeats = 0"),
    ("seed", "-1", 422, "seed = -1"),
]
UNASKED = [
    ("energy", "", "Energy must be a number."),
    ("energy", "0.5", "Energy must be above the mass of n, 0.9396 GeV."),
    ("repeats", "2.5", "Repeats must be a whole number."),
    ("seed", "", "The seed must be a whole number."),
    ("x", "", "x of the impact point must be a number."),
]


def test_refusals_of_the_server_are_shown(visit: Open) -> None:
    reader = visit()
    for field, value, status, said in REFUSED:
        before = reader.page.locator(f"#{field}").input_value()
        reader.fill(field, value, status)
        assert said in reader.alert()
        assert "particle[0]" not in reader.alert()
        assert "last request that succeeded" in reader.text("status")
        reader.fill(field, before)
        assert reader.alert() == ""
        assert "seed" in reader.text("status")


def test_invalid_choices_are_not_sent(visit: Open) -> None:
    reader = visit()
    for field, value, said in UNASKED:
        before = reader.page.locator(f"#{field}").input_value()
        reader.page.locator(f"#{field}").fill(value)
        expect(reader.page.locator("#problem p")).to_have_text(said)
        expect(reader.page.locator("#retry")).to_be_hidden()
        reader.fill(field, before)
        assert reader.alert() == ""


def test_a_point_beyond_the_face_is_said_to_miss_it(visit: Open) -> None:
    reader = visit()
    assert len(reader.captions("geant-gallery")) == 5
    x = float(reader.page.locator("#x").input_value())
    reader.fill("y", 0)
    reader.fill("x", 3.53)  # 0.01 cm off: that a test particle is near enough does not matter
    assert reader.text("face-point") == "The particle misses the face: responses are empty."
    assert set(reader.captions("model-gallery")) == {0}
    assert reader.captions("geant-gallery") == []
    assert reader.text("nearest").startswith("Your point is outside the face, but all test particles hit it")
    for table in ("channels-table", "sum-table"):
        assert "Geant4" not in (reader.page.locator(f"#{table}").text_content() or "")
    reader.fill("x", x)
    assert "est particle" in reader.text("nearest")


def test_a_server_that_takes_tokens(visit: Open, guarded: RunningServer) -> None:
    reader = visit(guarded.http, wait=False)
    field = reader.page.get_by_label("Token of this server")
    expect(field).to_be_focused()
    assert reader.alert() == "This server needs a token: enter one above."
    assert reader.page.locator("#controls").evaluate("form => form.inert")  # there is nothing to choose from yet
    expect(reader.page.get_by_role("link", name="API documentation")).to_be_hidden()  # it would be refused too
    for wrong, said in (("wrong token", "A token has only the characters"), (f"{TOKEN}x", "does not know the token")):
        field.fill(wrong)
        field.press("Enter")
        expect(reader.page.locator("#problem")).to_contain_text(said)
    field.fill(TOKEN)
    with reader.answered():
        field.press("Enter")
    expect(reader.page.locator("#token-form")).to_be_hidden()
    assert reader.alert() == ""
    assert field.input_value() == ""
    expect(reader.page.locator("#model")).to_be_focused()  # the keyboard is not lost with the form
    where = "() => [Object.values(sessionStorage), Object.values(localStorage), document.cookie]"
    assert reader.page.evaluate(where) == [[TOKEN], [], ""]
    assert TOKEN not in reader.page.url
    assert TOKEN not in reader.page.content()
    assert "Bearer $ZDC_TOKEN" in reader.text("curl")
    with reader.answered():
        reader.page.reload()  # the tab remembers
    assert reader.alert() == ""


def test_a_token_that_was_replaced(visit: Open, guarded: RunningServer, tmp_path: Path) -> None:
    reader = visit(guarded.http, wait=False)
    reader.page.get_by_label("Token of this server").fill(TOKEN)
    with reader.answered():
        reader.page.get_by_role("button", name="Use it").click()
    reader.fill("energy", 700)
    (tmp_path / "tokens").write_text("bob-0123456789abcdefgh\n")
    reader.page.wait_for_timeout(1100)  # the server looks at its files once a second
    reader.fill("repeats", 3, 401)
    assert "it may have been replaced" in reader.alert()
    reader.page.get_by_label("Token of this server").fill("bob-0123456789abcdefgh")
    with reader.answered():
        reader.page.get_by_role("button", name="Use it").click()
    assert reader.body()["repeats"] == 3  # what was chosen stays
    assert reader.page.locator("#energy").input_value() == "700"
    assert reader.alert() == ""


def test_an_unloaded_model(visit: Open, models_folder: Path) -> None:
    settings = ServerSettings(models=models_folder, default_model="tiny", http_port=0, grpc_port=0, threads=1)
    running = RunningServer(settings)
    try:
        reader = visit(running.http)
        with reader.answered():
            reader.page.locator("#model").select_option("strips version 1")
        assert httpx.post(f"{running.http}/v2/repository/models/strips/unload").status_code == 200
        reader.fill("repeats", 3, 404)
        assert reader.alert().startswith("The model is not loaded any more; reload the page: model 'strips'")
        reader.page.reload()
        expect(reader.page.locator("#problem")).to_contain_text("strips version 1, which is not loaded here")
        assert reader.page.locator("#model option").count() == 2
        with reader.answered():
            reader.page.get_by_role("button", name="Simulate again").click()
        assert reader.body()["model"] == "tiny"
    finally:
        running.stop()


def test_a_stopped_server(visit: Open, models_folder: Path) -> None:
    settings = ServerSettings(models=models_folder, default_model="tiny", http_port=0, grpc_port=0, threads=1)
    running = RunningServer(settings)
    try:
        reader = visit(running.http)
    finally:
        running.stop()
    reader.page.get_by_role("button", name="Simulate again").click()
    expect(reader.page.locator("#problem p")).to_have_text(f"No answer from {running.http}: is the server running?")
    expect(reader.page.get_by_role("button", name="Try again")).to_be_visible()


def test_a_busy_server_is_asked_again(visit: Open, models_folder: Path) -> None:
    running = FullQueueServer(models_folder)
    try:
        reader = visit(running.http)
        running.fill()
        reader.fill("repeats", ROWS, 429)
        assert reader.alert().startswith("The server is busy: ")
        assert reader.alert().endswith(" Trying again in 1 s.")
        with reader.answered(429):
            pass  # by itself
        assert reader.alert().endswith(" Trying again in 2 s.")
        running.empty()
        reader.fill("repeats", 20)
        assert reader.alert() == ""
        assert reader.text("status").startswith("20 responses")
    finally:
        running.stop()
