"""The page of everything in a real browser: sorting, filters, keyboard, phones, both schemes, hostile names."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_report_page import brightness

import planted
from firstgrad.columns import samples_table
from firstgrad.record import Doubt
from firstgrad.show.overview import make_overview
from firstgrad.show.page import render_page
from helpers import wait_for

TIME = "time to first gradient"


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Write the pages into a folder; returns their addresses."""
    folder = tmp_path_factory.mktemp("pages")
    hostile = planted.hostile()
    named = planted.of_model(hostile[0], size=planted.HOSTILE)
    hostile += [replace(named, record_id="3", doubts=(Doubt.HIGH_LOAD,))]
    found = {}
    for name, records in (
        ("sweep", [*planted.along_commits(), *_renamed(planted.a_sweep())]),
        ("hostile", hostile),
        ("many", planted.many_cases(270)),
    ):
        page = make_overview(
            samples_table(records),
            lambda wanted, records=records: [each for each in records if each.record_id in wanted],
            label=planted.HOSTILE if name == "hostile" else None,
        )
        path = folder / f"{name}.html"
        path.write_text(render_page(page), encoding="utf-8")
        found[name] = path.as_uri()
    return found


def _renamed(records):
    return [replace(record, record_id=f"s{record.record_id}") for record in records]


def column(page, name):
    """All texts of a column, in the order in which they stand there."""
    return page.evaluate(
        "name => { const table = document.querySelector('.sortable');"
        " const number = [...table.tHead.rows[0].cells].findIndex(head => head.textContent.trim() === name);"
        " return [...table.tBodies[0].rows].filter(row => !row.hidden && !row.classList.contains('details'))"
        ".map(row => row.cells[number].textContent); }",
        name,
    )


def head(page, name):
    return page.locator(".sortable").get_by_role("columnheader", name=name, exact=True)


def numbers(texts):
    """The seconds of cells such as ``4.25 s [3.00 s, 5.50 s]`` and ``over 600 s``; none where there is none."""
    return [float(text.removeprefix("over ").split()[0]) if text else None for text in texts]


def test_a_click_sorts_by_number_and_a_second_one_the_other_way(opened):
    page = opened("sweep")
    first = column(page, TIME)
    known = sorted(number for number in numbers(first) if number is not None)
    assert numbers(first) != [*known, None]
    time = head(page, TIME)
    time.get_by_role("button").click()
    # By number 4.25 comes before 10; what has no number is last both ways.
    assert numbers(column(page, TIME)) == [*known, None]
    assert time.get_attribute("aria-sort") == "ascending"
    time.get_by_role("button").click()
    assert numbers(column(page, TIME)) == [*reversed(known), None]
    assert time.get_attribute("aria-sort") == "descending"
    assert page.locator("[aria-sort]").count() == 1


def test_texts_are_sorted_and_equal_ones_keep_their_order(opened):
    page = opened("many")
    head(page, TIME).get_by_role("button").click()
    head(page, "scenario").get_by_role("button").click()
    found = list(zip(column(page, "scenario"), numbers(column(page, TIME)), strict=True))
    assert found == sorted(found)
    assert [scenario for scenario, _ in found] == ["cold"] * 90 + ["hot"] * 90 + ["warm"] * 90
    head(page, "scenario").get_by_role("button").click()
    found = list(zip(column(page, "scenario"), numbers(column(page, TIME)), strict=True))
    assert found == sorted(found, key=lambda each: (["warm", "hot", "cold"].index(each[0]), each[1]))


def test_names_with_numbers_are_sorted_as_people_count(opened):
    page = opened("many")
    head(page, "model").get_by_role("button").click()
    assert column(page, "model") == [f"some/file.py:build(size={number})" for number in range(270)]


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_the_keyboard_alone_sorts_and_the_focus_is_seen(opened, key):
    page = opened("sweep")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "samples":
            break
    assert page.evaluate("document.activeElement.tagName") == "BUTTON"
    style = page.evaluate(
        "(({outlineStyle, outlineWidth}) => [outlineStyle, outlineWidth])(getComputedStyle(document.activeElement))"
    )
    assert style == ["solid", "3px"]
    page.keyboard.press(key)
    assert head(page, "samples").get_attribute("aria-sort") == "ascending"
    found = list(map(int, column(page, "samples")))
    assert found == sorted(found)
    assert page.evaluate("document.activeElement.textContent") == "samples"
    page.keyboard.press(key)
    assert head(page, "samples").get_attribute("aria-sort") == "descending"


def test_filters_show_what_fits_and_say_how_many(opened):
    page = opened("sweep")
    told = page.get_by_role("status")
    assert told.text_content() == "12 of 12 rows shown"
    assert told.get_attribute("aria-live") == "polite"
    page.get_by_label("Search").fill("SIZE=8 jax")
    assert told.text_content() == "1 of 12 rows shown"
    page.get_by_label("Search").fill("")
    page.get_by_label("status").select_option("timeout")
    assert told.text_content() == "1 of 12 rows shown"
    assert column(page, "label") == ["sweep"]
    page.get_by_label("backend").select_option("c")
    assert told.text_content() == "0 of 12 rows shown"
    page.get_by_role("button", name="Show all").click()
    assert told.text_content() == "12 of 12 rows shown"
    page.get_by_label("scenario").select_option("warm")
    assert told.text_content() == "1 of 12 rows shown"


def test_filters_and_sorting_go_together(opened):
    page = opened("many")
    page.get_by_label("backend").select_option("numba")
    head(page, TIME).get_by_role("button").click()
    found = numbers(column(page, TIME))
    assert len(found) == 90
    assert found == sorted(found)
    page.get_by_label("backend").select_option("")
    found = numbers(column(page, TIME))
    assert len(found) == 270
    assert found == sorted(found)


def test_without_scripts_the_table_is_read_and_no_control_is_seen(opened):
    page = opened("sweep", scripts=False)
    table = page.get_by_role("table").first
    assert table.is_visible()
    assert table.get_by_text("110 s [109 s, 111 s]").first.is_visible()
    assert page.locator(".filters").is_hidden()
    assert page.locator("thead button").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_the_table_and_not_the_page(opened, scheme):
    page = opened("sweep", width=375, scheme=scheme)
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    box = page.get_by_role("region", name="All cases")
    assert box.evaluate("box => box.scrollWidth > 2 * box.clientWidth")
    box.focus()
    page.keyboard.press("ArrowRight")
    # Not wait_for_function: it evaluates a text in the page, which the page's policy refuses.
    wait_for(lambda: box.evaluate("box => box.scrollLeft") > 0, what="scrolling")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_and_figures_are_seen_in_both_schemes(opened, scheme):
    page = opened("sweep", scheme=scheme)
    back = brightness(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (back > 200) if scheme == "light" else (back < 60)
    for place in ("body", "td", "td .bad", "thead button", ".filters input", ".filters select", ".shown"):
        ink = page.evaluate(f"getComputedStyle(document.querySelector('{place}')).color")
        assert abs(brightness(ink) - back) > 80, place
    figures = page.locator("svg.figure:visible")
    assert figures.count() == 5  # commits, phases, memory, break-even, growth
    for number in range(5):
        box = figures.nth(number).bounding_box()
        assert min(box["width"], box["height"]) > 100


def test_hostile_names_are_shown_and_do_nothing(opened):
    page = opened("hostile")
    assert page.locator("script").count() == 1
    assert page.locator("img, iframe").count() == 0
    assert page.get_by_text(planted.HOSTILE, exact=True).count() > 0
    page.get_by_label("Search").fill(planted.HOSTILE)
    head(page, "model").get_by_role("button").click()
    assert page.get_by_role("status").text_content().endswith("of 2 rows shown")


def test_a_script_that_is_not_the_page_s_own_is_refused(browser, pages):
    context = browser.new_context()
    page = context.new_page()
    page.goto(pages["sweep"])
    page.evaluate(
        "() => { const added = document.createElement('script'); added.textContent = 'window.ran = true';"
        " document.body.append(added); }"
    )
    assert page.evaluate("window.ran") is None
    context.close()
