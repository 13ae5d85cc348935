"""Appearance and accessibility of the page at ``/``: colour schemes, small screens, keyboard, axe's rules."""

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from helpers.callers.browser import Reader
from playwright.sync_api import expect

Open = Callable[..., Reader]
SMALL = {"width": 360, "height": 740}


def background(reader: Reader) -> int:
    """Brightness of the page, 0 to 765."""
    colour = reader.page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    return sum(int(part) for part in colour.strip("rgb()").split(",")[:3])


@pytest.mark.parametrize(("scheme", "viewport"), [("light", {"width": 1280, "height": 900}), ("dark", SMALL)])
def test_axe_finds_nothing(visit: Open, scheme: str, viewport: dict[str, int]) -> None:
    reader = visit(color_scheme=scheme, viewport=viewport)
    assert (background(reader) > 600) == (scheme == "light")
    reader.unfold()
    found = Axe().run(reader.page)
    assert found.violations_count == 0, found.generate_report()
    reader.fill("energy", 9000, 422)
    found = Axe().run(reader.page)
    assert found.violations_count == 0, found.generate_report()


def test_nothing_is_wider_than_the_screen(visit: Open) -> None:
    reader = visit()
    reader.unfold()
    reader.fill("seed", 2**53 - 1)
    for width in (320, 360, 800, 1280):
        reader.page.set_viewport_size({"width": width, "height": 740})
        for drawing in reader.page.locator(".charts svg").all():  # drawn anew, soon
            room = drawing.locator("..").evaluate("element => element.clientWidth")
            expect(drawing).to_have_attribute("width", str(room))
        assert reader.page.evaluate("() => document.documentElement.scrollWidth") == width


def test_a_tap_on_a_small_screen(visit: Open) -> None:
    reader = visit(viewport=SMALL, has_touch=True, is_mobile=True)
    with reader.answered():
        reader.page.locator("#face").tap(position={"x": 30, "y": 30})
    assert float(reader.page.locator("#x").input_value()) < -2.5
    assert float(reader.page.locator("#y").input_value()) > 2.5


def test_every_control_is_reached_with_tab_and_shows_it(visit: Open) -> None:
    reader = visit()
    reached: list[str] = []
    for _ in range(60):
        reader.page.keyboard.press("Tab")
        where: Any = reader.page.evaluate(
            """() => { const e = document.activeElement, seen = e === document.body || e.dataset.seen === 'yes';
            e.dataset.seen = 'yes';
            return [e.id || e.className || e.textContent, getComputedStyle(e).outlineStyle, seen]; }"""
        )
        if where[2]:
            break
        reached.append(where[0])
        assert where[1] != "none", where
    wanted = ["model", "species", "energy", "energy-slider", "face", "x", "y", "vz", "repeats", "seed", "keep-seed"]
    assert [name for name in reached if name in wanted] == wanted
    assert reached.count("response") == 10
    assert {"again", "next", "curl"} <= set(reached)


def test_results_are_said_to_screen_readers(visit: Open) -> None:
    reader = visit()
    expect(reader.page.get_by_role("status").filter(has_text="100 responses")).to_be_visible()
    for name in ("Mean and spread: tower1", "Photon sums, mean and spread: ", "Colours for 0, and for 1 to "):
        expect(reader.page.get_by_role("img", name=name)).to_be_visible()
    pictures = reader.page.get_by_role("img", name="response").all()
    assert len(pictures) == 10
    assert reader.page.get_by_role("application", name="Face of the calorimeter").count() == 1
    reader.fill("energy", 9000, 422)
    assert "trained range" in (reader.page.get_by_role("alert").text_content() or "")


def test_reduced_motion_is_respected(visit: Open) -> None:
    reader = visit(reduced_motion="reduce")
    moving = """() => [...document.querySelectorAll('*')].filter(e => {
        const style = getComputedStyle(e);
        return style.transitionDuration !== '0s' || style.animationName !== 'none';
    }).length"""
    assert reader.page.evaluate(moving) == 0


def test_nothing_moves_while_it_loads(visit: Open) -> None:
    """Chromium's cumulative layout shift; up to 0.1 counts as good."""
    reader = visit(wait=False)
    reader.page.add_init_script(
        """window.moved = 0;
        new PerformanceObserver(list => list.getEntries().forEach(entry => { moved += entry.value; }))
          .observe({type: 'layout-shift', buffered: true});"""
    )
    for width in (360, 800, 1280):
        reader.page.set_viewport_size({"width": width, "height": 740})
        with reader.answered():
            reader.page.reload()
        assert reader.page.evaluate("() => moved") < 0.01, width


def test_numbers_of_the_colour_scale_do_not_meet(visit: Open) -> None:
    reader = visit(viewport=SMALL)
    for repeats in (1, 400):
        reader.fill("repeats", repeats)
        boxes = [tick.bounding_box() for tick in reader.page.locator("#colour-ticks b").all()]
        assert len(boxes) > 4
        edges = [edge for box in boxes if box is not None for edge in (box["x"], box["x"] + box["width"])]
        assert edges == sorted(edges)
        assert edges[-1] <= SMALL["width"]
        assert reader.page.locator("#colour-ticks b").last.text_content() in ("10", "20", "50", "100", "200", "500")


def test_the_point_is_announced_after_keyboard_moves(visit: Open) -> None:
    reader = visit()
    words = reader.page.locator("#face-point")
    with reader.answered():
        reader.page.locator("#face").press("ArrowUp")
    expect(words).to_have_attribute("aria-live", "polite")
    with reader.answered():
        reader.page.locator("#face").click(position={"x": 50, "y": 50})
    expect(words).to_have_attribute("aria-live", "off")
