"""The page of a script's trace in a real browser: zoom, keyboard, links, phones, both schemes, hostile names."""

from __future__ import annotations

import pytest
from test_report_page import brightness

import planted_trace
from firstgrad.show.page import render_page
from firstgrad.show.trace_page import trace_page


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Write the pages into a folder; returns their addresses."""
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    for name in ("twice", "large"):
        path = folder / f"{name}.html"
        path.write_text(render_page(trace_page(getattr(planted_trace, name)())), encoding="utf-8")
        found[name] = path.as_uri()
    return found


def bar(page, number):
    return page.locator(f'a.whole[href="#compile-0-{number}"]').first


def width(page, number):
    return bar(page, number).bounding_box()["width"]


def test_bars_are_as_long_as_what_they_show_and_stand_where_it_was(opened):
    page = opened("twice")
    one, other = bar(page, 4).bounding_box(), bar(page, 5).bounding_box()
    assert one["width"] / other["width"] == pytest.approx(2.0, rel=0.02)
    assert other["x"] - one["x"] == pytest.approx(one["width"], abs=1.5)
    # Its phases lie below it.
    phase = page.locator('.bar.phase[title="compile of compile 4: 6.00 s"]').bounding_box()
    assert phase["y"] > one["y"]
    assert phase["width"] == pytest.approx(one["width"], abs=1)


def test_buttons_and_keys_zoom_and_the_axis_goes_along(opened):
    page = opened("twice")
    before, ticks = width(page, 4), page.locator(".axis span").all_text_contents()
    page.get_by_role("button", name="Zoom in").click()
    assert width(page, 4) == pytest.approx(2 * before, rel=0.02)
    assert page.locator(".axis span").all_text_contents() != ticks
    page.get_by_role("region", name="Time line").focus()
    page.keyboard.press("+")
    assert width(page, 4) == pytest.approx(4 * before, rel=0.02)
    page.keyboard.press("-")
    page.keyboard.press("0")
    assert width(page, 4) == pytest.approx(before, rel=0.02)
    page.get_by_role("button", name="Zoom out").click()  # no further than all of it
    assert width(page, 4) == pytest.approx(before, rel=0.02)


def test_the_wheel_zooms_about_the_pointer_and_a_drag_fills_the_box(opened):
    page = opened("twice")
    box = bar(page, 5).bounding_box()
    page.mouse.move(box["x"] + 1, box["y"] + 5)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    page.wait_for_function("before => document.querySelector('.rows').clientWidth > before", arg=1400)
    assert bar(page, 5).bounding_box()["x"] == pytest.approx(box["x"], abs=3)
    page.get_by_role("button", name="All", exact=True).click()
    frame = page.get_by_role("region", name="Time line").bounding_box()
    axis = page.locator(".axis").bounding_box()
    page.mouse.move(frame["x"] + 100, axis["y"] + 5)
    page.mouse.down()
    page.mouse.move(frame["x"] + 300, axis["y"] + 5)
    page.mouse.up()
    assert page.locator(".rows").bounding_box()["width"] == pytest.approx(frame["width"] ** 2 / 200, rel=0.02)
    assert page.get_by_role("region", name="Time line").evaluate("box => box.scrollLeft") > 100


def test_the_keyboard_goes_from_compile_to_compile_and_opens_one(opened):
    page = opened("twice")
    page.get_by_role("region", name="Time line").focus()
    said = page.locator(".said")
    page.keyboard.press("ArrowRight")
    assert said.text_content().startswith("1: start points, python; 500 ms for line 12, pm.sample → nutpie.")
    page.keyboard.press("ArrowRight")
    assert said.text_content().startswith("2: gradient, numba; 2.00 s for line 12")
    # The same compile is marked in the table and in the source.
    assert page.locator("tr.chosen").count() == 2
    style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert style == "solid"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert said.text_content().startswith("10: nutpie's wrapper")
    facts = page.locator("#compile-0-10")
    assert not facts.get_by_text("that no cache takes").is_visible()
    page.keyboard.press("Enter")
    assert facts.get_by_text("10 read, 10 compiled and kept, 1 that no cache takes").is_visible()


def test_pointing_at_a_bar_tells_what_it_is_and_leaving_tells_how_to(opened):
    page = opened("twice")
    bar(page, 4).hover()
    assert page.locator(".said").text_content().startswith("4: nutpie's wrapper, numba; 6.00 s for line 12")
    page.mouse.move(5, 5)
    assert page.locator(".said").text_content().startswith("Point at a bar")
    assert page.locator(".chosen").count() == 0
    bar(page, 4).click()
    assert page.locator("#compile-0-4").get_attribute("open") is not None


def test_the_source_has_seconds_by_line_and_links_to_its_compiles(opened):
    page = opened("twice")
    line = page.locator("#line-0-12")
    assert "12.5 s" in line.text_content()
    assert line.get_by_role("link").count() == 5
    assert page.locator("tr.asks").count() == 2
    line.get_by_role("link", name="4 nutpie's wrapper 6.00 s").click()
    assert page.locator("#compile-0-4").get_attribute("open") is not None


def test_the_table_is_sorted_by_seconds(opened):
    page = opened("twice")
    head = page.locator("#compiles").get_by_role("columnheader", name="seconds")
    head.get_by_role("button").click()
    head.get_by_role("button").click()
    first = page.locator("#compiles .sortable tbody tr").first
    assert "6.00 s" in first.text_content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_in_both_schemes(opened, scheme):
    page = opened("large", scheme=scheme)
    back = brightness(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (back > 200) if scheme == "light" else (back < 60)
    for place in ("body", "h1", ".said", ".legend li", "td", "a", ".source code"):
        ink = page.evaluate(f"getComputedStyle(document.querySelector('{place}')).color")
        assert abs(brightness(ink) - back) > 80, place
    for kind in ("whole", "phase", "unit"):
        ink, behind = page.evaluate(
            f"(({{color, backgroundColor}}) => [color, backgroundColor])(getComputedStyle("
            f"document.querySelector('.bar.{kind}:not(.bad)')))"
        )
        assert abs(brightness(ink) - brightness(behind)) > 60, kind


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_what_is_wide_and_not_the_page(opened, scheme):
    page = opened("large", width=400, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_hostile_names_are_shown_and_do_nothing(opened):
    page = opened("large")
    assert page.locator("img, iframe").count() == 0
    assert page.locator("script").count() == 1
    assert page.get_by_text('<script>alert("owned")</script>').count() > 5
    assert page.locator(".bar.unit").count() == 7
    assert "\u202e" not in page.content()


def test_without_scripts_all_of_it_is_there(opened):
    page = opened("twice", scripts=False)
    assert bar(page, 4).is_visible()
    assert page.locator(".tools").is_hidden()
    assert page.locator(".axis span").count() == 8
    bar(page, 4).click()
    assert page.url.endswith("#compile-0-4")
