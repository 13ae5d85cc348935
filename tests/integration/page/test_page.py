"""The page at ``/`` in a real browser: it shows the answers of the server."""

import re
import time
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
from helpers.callers.browser import Reader
from helpers.calorimeters import ZN
from helpers.servers.running_server import RunningServer
from playwright.sync_api import Route, expect
from zdc_detector.particles import CONDITIONS, Particles

Open = Callable[..., Reader]


def ask(server: RunningServer, body: dict[str, Any]) -> Any:
    reply = httpx.post(f"{server.http}/simulate", json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()


def particle_of(body: dict[str, Any]) -> Particles:
    (particle,) = body["particles"]
    return Particles.from_columns({name: [value] for name, value in particle.items()})


def test_it_shows_what_the_api_answers(visit: Open, server: RunningServer) -> None:
    reader = visit()
    reader.fill("seed", 12345)
    reader.fill("repeats", 12)
    body = reader.body()
    assert (body["seed"], body["repeats"], body["model"], body["version"]) == (12345, 12, "tiny", 2)
    reply = ask(server, body)
    sums = np.array(reply["channels"]).sum(axis=1)
    assert reader.captions("model-gallery") == sums[:5].tolist()
    with_spread = f"{sums.mean():.0f} ± {sums.std(ddof=1):.0f} photons"
    assert re.match(rf"12 responses of tiny version 2 in \d+ ms, seed 12345: {with_spread}, ", reader.text("status"))
    cells = reader.page.locator("#channels-table tr").all()
    assert [row.locator("th").first.text_content() for row in cells[1:]] == reply["channel_names"]
    for row, column in zip(cells[1:], np.array(reply["channels"]).T, strict=True):
        mean, spread = (row.locator("td").first.text_content() or "").split(" ± ")
        assert float(mean) == pytest.approx(column.mean(), abs=0.51, rel=0.01)
        assert float(spread) == pytest.approx(column.std(ddof=1), abs=0.51, rel=0.01)
    generated = reader.page.locator("#sum-table tr").nth(1).locator("td").all_text_contents()
    assert [generated[0], generated[3], generated[4]] == ["12", str(sums.min()), str(sums.max())]
    with reader.answered():
        reader.page.get_by_role("button", name="Simulate again").click()
    assert ask(server, reader.body()) == reply  # the seed was typed, so it is kept


def test_pages_turn(visit: Open, server: RunningServer) -> None:
    reader = visit()
    reader.fill("repeats", 7)
    sums = np.array(ask(server, reader.body())["channels"]).sum(axis=1).tolist()
    expect(reader.page.locator("#previous")).to_be_disabled()
    reader.page.get_by_role("button", name="Later responses").click()
    assert (reader.captions("model-gallery"), reader.text("shown")) == (sums[5:], "6 to 7 of 7")
    expect(reader.page.locator("#next")).to_be_disabled()
    reader.page.get_by_role("button", name="Earlier responses").click()
    assert reader.captions("model-gallery") == sums[:5]


def test_fibres_are_read_out(visit: Open, server: RunningServer) -> None:
    reader = visit()
    image = np.array(ask(server, reader.body() | {"output": "response"})["response"])[0].astype(int)
    response = reader.page.locator(".response").first
    response.focus()
    response.press("ArrowUp")
    read = re.compile(r"Generated response 1, fibre \((\d+), (\d+)\) at (\S+), (\S+) cm, (\w+): (\d+) photons?")

    def said() -> tuple[int, int]:
        found = read.fullmatch(reader.text("readout"))
        assert found is not None, reader.text("readout")
        row, column = int(found[1]), int(found[2])
        assert int(found[6]) == image[row, column]
        assert found[5] == ZN.channel_names[ZN.channel_index[row, column]]
        assert float(found[3]) == pytest.approx((row + 0.5) * 0.16 - 3.52, abs=0.006)
        assert float(found[4]) == pytest.approx((column + 0.5) * 0.16 - 3.52, abs=0.006)
        return row, column

    start = said()
    response.press("ArrowLeft")
    assert said() == (start[0] - 1, start[1])
    box = response.bounding_box()
    assert box is not None
    reader.page.mouse.move(box["x"] + box["width"] * 10.5 / 44, box["y"] + box["height"] * 3.5 / 44)
    assert said() == (10, 40)  # y points up
    label = reader.page.locator(".response canvas").first.get_attribute("aria-label") or ""
    lit = np.count_nonzero(image)
    assert label.startswith(f"Generated response 1: {image.sum()} photons in {lit} fibres, at most {image.max()} ")


def test_pixels_tell_zero_from_one(visit: Open, server: RunningServer) -> None:
    reader = visit()
    image = np.array(ask(server, reader.body() | {"output": "response"})["response"])[0].astype(int)
    pixels = np.array(reader.page.locator(".response canvas").first.evaluate(
        "canvas => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]"
    )).reshape(44, 44, 4)[::-1].transpose(1, 0, 2)[..., :3]  # fmt: skip
    colours = {tuple(pixels[image == count][0].tolist()) for count in np.unique(image)}
    assert len(colours) == len(np.unique(image))  # each count has its own
    assert (pixels[image == 0] == [11, 14, 20]).all()
    brightness = [pixels[image == count][0].sum() for count in np.unique(image)]
    assert brightness == sorted(brightness)
    assert brightness[1] - brightness[0] > 100


def test_the_species_of_the_card(visit: Open) -> None:
    reader = visit()
    options = reader.page.locator("#species option").all_text_contents()
    assert options == ["n (2112)", "gamma (22)", "K(S)0 (310)"]
    with reader.answered():
        reader.page.locator("#species").select_option("gamma (22)")
    assert reader.body()["particles"][0]["pdg"] == 22
    assert "Trained range of tiny for gamma: 10 to 1500 GeV." in reader.text("energy-range")


def test_both_ends_of_a_range_are_taken(visit: Open) -> None:
    reader = visit()
    slider = reader.page.get_by_label("Energy, logarithmic")
    for species in ("gamma (22)", "K(S)0 (310)", "n (2112)"):
        with reader.answered():
            reader.page.locator("#species").select_option(species)
        for key, end in (("Home", "min"), ("End", "max")):
            with reader.answered():
                slider.press(key)
            bound = float(reader.page.locator("#energy").get_attribute(end) or "nan")
            assert float(reader.page.locator("#energy").input_value()) == bound
            energy = particle_of(reader.body()).conditions[0, CONDITIONS.index("energy")]
            assert energy == pytest.approx(bound, rel=3e-6)


def test_the_slider_is_logarithmic(visit: Open) -> None:
    reader = visit()
    with reader.answered():
        reader.page.get_by_label("Energy, logarithmic").fill("500")
    assert float(reader.page.locator("#energy").input_value()) == pytest.approx((50 * 2600) ** 0.5, rel=1e-3)


def test_a_click_on_the_face_chooses_the_impact_point(visit: Open) -> None:
    reader = visit()
    reader.fill("vz", -12)
    face = reader.page.locator("#face")
    box = face.bounding_box()
    assert box is not None
    with reader.answered():
        face.click(position={"x": 0.8 * box["width"], "y": 0.3 * box["height"]})
    point = [float(reader.page.locator(f"#{axis}").input_value()) for axis in "xy"]
    assert point == pytest.approx([0.6 * 3.52, 0.4 * 3.52], abs=0.03)
    conditions = particle_of(reader.body()).conditions
    assert ZN.impact_points(conditions)[0] == pytest.approx(point, abs=1e-4)
    assert conditions[0, CONDITIONS.index("vz")] == -12
    assert conditions[0, 0] == pytest.approx(float(reader.page.locator("#energy").input_value()), rel=2e-6)


def test_arrow_keys_move_the_point_by_a_fibre(visit: Open) -> None:
    reader = visit()
    reader.fill("x", 0.5)
    reader.fill("y", -1)
    face = reader.page.locator("#face")
    for keys, point in (
        ("ArrowRight", (0.66, -1)), ("Shift+ArrowUp", (0.66, -0.984)), ("Shift+ArrowLeft", (0.644, -0.984)),
        ("ArrowDown", (0.644, -1.144)),
    ):  # fmt: skip
        with reader.answered():
            face.press(keys)
        assert [float(reader.page.locator(f"#{axis}").input_value()) for axis in "xy"] == pytest.approx(point)
        assert ZN.impact_points(particle_of(reader.body()).conditions)[0] == pytest.approx(point, abs=1e-4)
    assert "fibre (26, 14)" in reader.text("face-point")
    reader.fill("x", 3.4)
    with reader.answered():
        face.press("ArrowRight")
    assert float(reader.page.locator("#x").input_value()) == pytest.approx(3.44)  # stays on the face


def test_another_model_has_another_face(visit: Open, server: RunningServer) -> None:
    reader = visit()
    with reader.answered():
        reader.page.locator("#model").select_option("strips version 1")
    assert reader.page.locator("#face circle.fibre").count() == 48
    assert reader.page.locator(".response canvas").first.evaluate("c => [c.width, c.height]") == [8, 6]
    assert "no test particle of this species and calorimeter" in reader.text("nearest")
    assert reader.captions("geant-gallery") == []
    body = reader.body()
    assert (body["model"], body["version"]) == ("strips", 1)
    sums = np.array(ask(server, body)["channels"])
    assert reader.page.locator("#channels-table th[scope=row]").all_text_contents() == ["left", "right"]
    reply = ask(server, body | {"output": "response"})
    assert reader.captions("model-gallery") == np.array(reply["response"])[:5].sum(axis=(1, 2)).tolist()
    assert sums.shape[1] == 2
    reader.fill("x", 0.25)
    with reader.answered():
        reader.page.locator("#face").press("ArrowRight")
    assert float(reader.page.locator("#x").input_value()) == pytest.approx(0.25 + 7.04 / 8)


def test_it_begins_with_an_example_and_tells_if_there_is_none(visit: Open, server: RunningServer) -> None:
    reader = visit()
    assert "(the same energy, 0.00 cm from your point)" in reader.text("nearest")
    assert len(reader.captions("geant-gallery")) == 5
    with reader.answered():
        reader.page.locator("#species").select_option("K(S)0 (310)")
    reader.fill("x", 3.4)
    assert reader.text("nearest").startswith(
        "No test particle is near enough to compare with. The nearest is a K(S)0, "
    )
    assert reader.captions("geant-gallery") == []
    assert "Geant4" not in (reader.page.locator("#channels-table").text_content() or "")
    with reader.answered():
        reader.page.get_by_role("button", name="Choose this particle").click()
    assert "(the same energy, 0.00 cm from your point)" in reader.text("nearest")
    energy, x, y = (float(reader.page.locator(f"#{name}").input_value()) for name in ("energy", "x", "y"))
    query: dict[str, str | float] = {"pdg": 310, "energy": energy, "x": x, "y": y}
    found = httpx.get(f"{server.http}/examples/nearest", params=query).json()["example"]
    assert reader.captions("geant-gallery") == [sum(row) for row in found["channels"]]


def test_answers_that_come_too_late_are_dropped(visit: Open) -> None:
    reader = visit()
    slow: list[str] = []

    def late(route: Route) -> None:
        if not slow:
            slow.append(route.request.post_data or "")
            time.sleep(1.0)
        route.continue_()

    reader.page.route("**/simulate", late)
    failed: list[str] = []
    reader.page.on("requestfailed", lambda request: failed.append(request.url))
    reader.page.locator("#repeats").fill("3")
    with reader.page.expect_request("**/simulate"):
        pass
    reader.page.locator("#repeats").fill("4")
    expect(reader.page.locator("#status")).to_contain_text("4 responses of")
    assert '"repeats": 3' in slow[0]
    assert [url for url in failed if url.endswith("/simulate")] == [f"{reader.url}/simulate"]
    assert len(reader.captions("model-gallery")) == 4


def test_a_slider_on_its_way_asks_once(visit: Open) -> None:
    reader = visit()
    asked: list[str] = []
    reader.page.on("request", lambda request: asked.append(request.url))
    with reader.answered():
        reader.page.locator("#energy-slider").evaluate(
            "s => { for (let i = 0; i < 40; i++) { s.value = i; s.dispatchEvent(new Event('input')); } }"
        )
    assert sum(url.endswith("/simulate") for url in asked) == 1


def test_a_slow_server_is_waited_for_in_words(visit: Open) -> None:
    reader = visit()

    def late(route: Route) -> None:
        time.sleep(1.0)
        route.continue_()

    reader.page.route("**/simulate", late)
    with reader.answered():
        reader.page.locator("#repeats").fill("3")
        expect(reader.page.locator("#status")).to_have_text("Waiting for the server…")
        expect(reader.page.locator("#results")).to_have_class("old")
    expect(reader.page.locator("#results")).not_to_have_class("old")
    assert reader.text("status").startswith("3 responses")


def test_a_model_that_was_chosen_is_asked_although_the_next_choice_came_soon(visit: Open) -> None:
    reader = visit()
    held: list[Route] = []

    def hold_first(route: Route) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)

    reader.page.route("**/models/strips/1", hold_first)
    with reader.page.expect_request("**/models/strips/1"):
        reader.page.locator("#model").select_option("strips version 1")
    reader.fill("repeats", 2)  # before the card of the model is there
    assert reader.body()["model"] == "strips"
    assert reader.page.locator("#channels-table th[scope=row]").all_text_contents() == ["left", "right"]


def test_a_ring_marks_the_impact_point(visit: Open) -> None:
    reader = visit()
    reader.fill("x", 1.25)
    reader.fill("y", -0.75)
    rings = reader.page.locator("#model-gallery circle.line")
    assert rings.count() == 5
    assert [float(rings.first.get_attribute(name) or "nan") for name in ("cx", "cy")] == [1.25, 0.75]
    view = reader.page.locator("#model-gallery svg").first.get_attribute("viewBox")
    assert view == "-3.52 -3.52 7.04 7.04"
    reader.fill("x", 5)
    assert rings.count() == 0


def test_geant4_pictures_keep_their_place_if_there_are_none(visit: Open) -> None:
    reader = visit()
    with reader.answered():
        reader.page.locator("#species").select_option("K(S)0 (310)")
    with reader.answered():
        reader.page.get_by_role("button", name="Choose this particle").click()
    gallery = reader.page.locator("#geant-gallery")
    before = gallery.bounding_box()
    reader.fill("x", 3.4)
    assert reader.captions("geant-gallery") == []
    after = gallery.bounding_box()
    assert before is not None
    assert after is not None
    assert after["height"] == pytest.approx(before["height"], abs=4)
