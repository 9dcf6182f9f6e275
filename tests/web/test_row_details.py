"""What opens below a row of a page's table: by its link, its address, the keyboard, without scripts, printed."""

from __future__ import annotations

import pytest

from firstgrad.show.page import Page, Section, render_page
from firstgrad.show.result import Span, Table, TableColumn, TableRow, Text, left, right
from firstgrad.show.samples import Details, ShownPhase, ShownSample
from helpers import wait_for

HOSTILE = '<script>alert("owned")</script>'


def _sample(number, **fields):
    known = {
        "id": f"abc{number}",
        "started": f"2026-01-0{number}T10:11:12.123+00:00",
        "label": "",
        "commit": "",
        "status": "ok",
        "reason": "",
        "window_seconds": 2.0 * number,
        "window_at_least": None,
        "cpu_seconds": 1.0,
        "evaluation_seconds": 0.002,
        "peak_bytes": 3 * 2**20,
        "phases": (
            ShownPhase(name="rewrite", wall_seconds=number, cpu_seconds=1.5),
            ShownPhase(name="link", wall_seconds=number),
        ),
        "counts": (("nodes", 1234.0),),
        "caches": "cold, proven: 0 entries read",
        "verdict": "agrees",
        "doubts": ("high_load",),
        "command": f"firstgrad show abc{number}",
    }
    return ShownSample(**known | fields)


def _details(name):
    failed = _sample(4, status="failed", reason=HOSTILE, window_seconds=None, window_at_least=9.0)
    return Details(
        title=f"case {name}",
        samples=(failed, _sample(2), _sample(1)),
        left_out=3,
        commands=(("profile it", f"firstgrad profile {HOSTILE}"),),
        profile=(Text("the profile's numbers"),),
    )


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Write one page; returns its address."""
    columns = (*left("model"), TableColumn("time", is_right=True, full="time to first gradient"), *right("samples"))
    rows = [
        TableRow(
            (name, Span(f"{seconds} s [{seconds} s, 9 s]", number=f"{seconds}"), Span("2", number="2")),
            id=f"line-{name}",
            details=(_details(name),),
        )
        for name, seconds in (("b", 2), ("a", 3), ("c", 1))
    ]
    plain = TableRow(("plain", Span("5 s", number="5"), Span("1", number="1")))
    table = Table(columns=columns, rows=[*rows, plain], sorted_as="All cases")
    doubts = Section("doubts", "Doubts", (Text("high_load"),))
    page = Page(title="A page", facts=(), sections=(Section("cases", "All cases", (table,)), doubts), is_sortable=True)
    path = tmp_path_factory.mktemp("pages") / "page.html"
    path.write_text(render_page(page), encoding="utf-8")
    return {"page": path.as_uri()}


def rows_in_order(page):
    """The ids of the rows with details, and of what lies below each, in the order in which they stand there."""
    return page.evaluate(
        "[...document.querySelector('.sortable').tBodies[0].rows].map(row => row.id || row.className || 'plain')"
    )


def inner(page, name):
    return page.locator(f"#line-{name} + tr.details")


@pytest.mark.parametrize("scripts", [True, False])
def test_a_row_s_link_opens_its_samples_and_back_closes_them(opened, scripts):
    page = opened("page", scripts=scripts)
    assert not inner(page, "a").is_visible()
    page.get_by_role("link", name="a", exact=True).click()
    assert page.url.endswith("#line-a")
    assert inner(page, "a").is_visible()
    assert not inner(page, "b").is_visible()
    assert inner(page, "a").get_by_text("firstgrad show abc2").is_visible()
    page.go_back()
    assert not inner(page, "a").is_visible()


def test_a_deep_link_opens_a_row_and_escape_closes_it_where_it_is(opened, pages):
    page = opened("page")
    page.goto(f"{pages['page']}#line-c")
    assert inner(page, "c").is_visible()
    page.keyboard.press("Escape")
    wait_for(lambda: not inner(page, "c").is_visible(), what="closing")
    assert page.evaluate("document.activeElement.hash") == "#line-c"
    page.keyboard.press("Enter")
    wait_for(inner(page, "c").is_visible, what="opening")
    page.keyboard.press("Enter")
    wait_for(lambda: not inner(page, "c").is_visible(), what="closing by a second click")


def test_a_click_on_a_number_opens_its_samples(opened):
    page = opened("page")
    page.locator("#line-b td").first.click()
    assert inner(page, "b").is_visible()
    page.locator("tr:not([id]):not(.details) td").first.click()  # a row without details does nothing
    assert inner(page, "b").is_visible()


def test_details_go_where_their_row_goes_and_stay_open(opened):
    page = opened("page")
    page.get_by_role("link", name="a", exact=True).click()
    page.get_by_role("columnheader", name="time", exact=True).get_by_role("button").click()
    below = ["line-c", "details", "line-b", "details", "line-a", "details", "plain"]
    assert rows_in_order(page) == below
    assert inner(page, "a").is_visible()
    page.get_by_label("Search").fill("plain")
    assert not inner(page, "a").is_visible()
    assert page.get_by_role("status").text_content() == "1 of 4 rows shown"
    page.get_by_label("Search").fill("abc2")  # the samples' texts are not the row's
    assert page.get_by_role("status").text_content() == "0 of 4 rows shown"


def test_bars_are_as_long_as_the_phases_and_failures_say_why(opened):
    page = opened("page")
    page.get_by_role("link", name="a", exact=True).click()
    bars = inner(page, "a").locator(".stack")
    widths = [sum(bars.nth(row).locator("i").nth(part).bounding_box()["width"] for part in (0, 1)) for row in (1, 2)]
    assert widths[0] / widths[1] == pytest.approx(2.0, rel=0.02)
    assert inner(page, "a").get_by_text("rewrite 2.00 s").is_visible()
    assert inner(page, "a").get_by_text("over 9.00 s").is_visible()
    assert inner(page, "a").get_by_text(HOSTILE, exact=True).is_visible()
    assert inner(page, "a").get_by_text("3 older samples left out.").is_visible()
    profile = inner(page, "a").get_by_text("the profile's numbers")
    assert not profile.is_visible()
    inner(page, "a").get_by_text("Its newest profile").click()
    assert profile.is_visible()
    assert page.locator("script").count() == 1


def test_a_short_name_is_told_in_full_on_focus(opened):
    page = opened("page")
    head = page.get_by_role("columnheader", name="time", exact=True)
    content = "head => getComputedStyle(head, '::after').content"
    assert "time to first gradient" not in head.evaluate(content)
    head.get_by_role("button").focus()
    assert "time to first gradient" in head.evaluate(content)


@pytest.mark.parametrize("width", [390, 1280])
def test_the_first_column_stays_and_the_page_does_not_scroll(opened, width):
    page = opened("page", width=width)
    page.get_by_role("link", name="a", exact=True).click()
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    box = page.get_by_role("region", name="All cases")
    before = page.locator("#line-a th").bounding_box()["x"]
    box.evaluate("box => { box.scrollLeft = 200; }")
    assert page.locator("#line-a th").bounding_box()["x"] == pytest.approx(before, abs=2)
    assert inner(page, "a").locator("td > div").first.bounding_box()["width"] <= width


def test_what_is_open_is_printed_in_light_colours_without_controls(opened):
    page = opened("page", scheme="dark")
    page.get_by_role("link", name="a", exact=True).click()
    page.emulate_media(media="print")
    assert inner(page, "a").is_visible()
    assert not inner(page, "b").is_visible()
    assert not page.get_by_label("Search").is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('.sortable thead th')).position") == "static"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(22, 24, 29)"
