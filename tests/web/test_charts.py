"""Figures on a page: what they tell by pointer, by keyboard and in a table, and how they are zoomed."""

from __future__ import annotations

import pytest

import planted
from firstgrad.growth.series import commit_axis
from firstgrad.show.page import Page, Section, render_page
from firstgrad.show.result import Picture
from firstgrad.show.series import make_page
from firstgrad.show.style import Tip, firstgrad_style
from helpers import wait_for


def _outside():
    """A figure one of whose marks lies far outside, where it isn't drawn: nobody knows then which mark is whose."""
    from firstgrad.show.drawing import new_panels, plot

    with new_panels(4.0, 3.0) as (figure, [axes]):
        plot(axes, [(0, 0), (1, 9999), (2, 1)], tips=[Tip("line", f"{n}", "value") for n in range(3)], marker="o")
        axes.set_ylim(0, 2)
        plot(axes, [(0.5, 0.5)], tips=[Tip(planted.HOSTILE, "here", "5 s")], marker="s")
    return figure


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Write the pages; returns their addresses."""
    folder = tmp_path_factory.mktemp("pages")
    commits = planted.along_commits()
    along = make_page(commits, commit_axis(commits, {digest: f"subject {digest[0]}" for digest in planted.COMMITS}))
    picture = Section("only", "Only", (Picture(_outside, "only", "words"),))
    addresses = {}
    for name, page in (("commits", along), ("outside", Page(title="One", facts=(), sections=(picture,)))):
        path = folder / f"{name}.html"
        path.write_text(render_page(page), encoding="utf-8")
        addresses[name] = path.as_uri()
    return addresses


@pytest.fixture
def figure(opened):
    """The first figure of the page along commits."""
    return opened("commits").locator("figure").first


def marks(figure):
    return figure.locator(".tips use")


def x_of(mark):
    box = mark.bounding_box()
    return box["x"] + box["width"] / 2


def test_pointing_near_a_mark_tells_its_value_interval_and_samples(figure):
    box = marks(figure).nth(1).bounding_box()
    assert not figure.locator(".tip").is_visible()
    figure.page.mouse.move(box["x"] - 3, box["y"] - 3)
    assert figure.locator(".tip").inner_text().splitlines() == [
        "jax, cold",
        "bbbbbbbbbb subject b",
        "4.25 s [4.00 s, 4.50 s], 3 samples",
    ]
    figure.page.mouse.move(5, 5)
    assert not figure.locator(".tip").is_visible()


def test_the_keyboard_goes_from_mark_to_mark_and_escape_leaves(figure):
    page, tip = figure.page, figure.locator(".tip")
    figure.get_by_role("region").focus()
    page.keyboard.press("ArrowRight")
    assert "3.25 s [3.00 s, 3.50 s], 3 samples" in tip.inner_text()
    page.keyboard.press("ArrowRight")
    assert "4.25 s" in tip.inner_text()
    assert figure.locator(".at").count() == 1
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert "5.25 s" in tip.inner_text() or "failed" in tip.inner_text()  # round to the last one
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    assert figure.locator(".at").count() == 0


def test_failed_samples_say_why(figure):
    cross = figure.locator(".tips").filter(has=figure.page.locator("use")).last.locator("use")
    cross.hover()
    assert figure.locator(".tip").inner_text().endswith("failed in link: CompileError: g++ ended with 1")


def test_keys_zoom_along_the_axis_and_zero_shows_all_again(figure):
    page, first = figure.page, marks(figure)
    figure.get_by_role("region").focus()
    before = [x_of(first.nth(number)) for number in range(3)]
    heights = [first.nth(number).bounding_box()["y"] for number in range(3)]
    ticks = figure.locator(".tick text").all_text_contents()
    page.keyboard.press("+")
    # The middle stays, all else goes twice as far from it; heights and the names of commits stay what they are.
    assert x_of(first.nth(1)) == pytest.approx(before[1], abs=1)
    assert x_of(first.nth(2)) - x_of(first.nth(1)) == pytest.approx(2 * (before[2] - before[1]), abs=2)
    assert [first.nth(number).bounding_box()["y"] for number in range(3)] == pytest.approx(heights, abs=0.5)
    shown = figure.locator(".tick").filter(visible=True).locator("text").all_text_contents()
    assert shown == ["bbbbbbbbbb"]
    page.keyboard.press("ArrowLeft")  # a mark that is out of sight comes into it
    assert figure.locator(".tip").is_visible()
    page.keyboard.press("0")
    assert [x_of(first.nth(number)) for number in range(3)] == pytest.approx(before, abs=0.5)
    assert figure.locator(".tick text").all_text_contents() == ticks
    assert figure.locator(".note").count() == figure.locator(".note").filter(visible=True).count()


def test_a_drag_chooses_a_stretch_and_the_wheel_zooms_about_the_pointer(figure):
    page, first = figure.page, marks(figure)
    before = [x_of(first.nth(number)) for number in range(3)]
    y = first.nth(0).bounding_box()["y"] + 40
    step = before[1] - before[0]
    page.mouse.move(before[1] - step / 4, y)
    page.mouse.down()
    page.mouse.move(before[1] + step / 4, y, steps=3)
    assert figure.locator(".band").bounding_box()["width"] == pytest.approx(step / 2, abs=2)
    page.mouse.up()
    assert figure.locator(".band").count() == 0
    assert x_of(first.nth(2)) - x_of(first.nth(1)) == pytest.approx(6 * step, rel=0.05)
    figure.get_by_role("button", name="All").click()
    page.mouse.move(before[2], y)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    wait_for(lambda: x_of(first.nth(1)) < before[1] - 10, what="zooming")
    assert x_of(first.nth(2)) == pytest.approx(before[2], abs=2)
    assert x_of(first.nth(2)) - x_of(first.nth(1)) == pytest.approx(1.25 * step, abs=2)


def test_without_scripts_marks_have_titles_and_no_control_is_seen(opened):
    page = opened("commits", scripts=False)
    assert page.locator("figure .tips title").first.text_content().splitlines()[-1].endswith("3 samples")
    assert page.locator(".tools").count() == 0


def test_a_mark_outside_of_the_figure_gives_no_other_mark_its_value(opened):
    page = opened("outside")
    box = page.get_by_role("region", name="Figure: only")
    box.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".tip b").text_content() == planted.HOSTILE
    page.keyboard.press("ArrowRight")  # it is the only one
    assert page.locator(".tip b").text_content() == planted.HOSTILE
    # The table has all of them.
    page.get_by_text("The numbers").click()
    assert page.get_by_role("table").get_by_role("row").count() == 5
    assert page.locator("img, iframe").count() == 0


def test_pictures_of_files_have_no_marks_of_a_page():
    import io

    content = io.StringIO()
    with firstgrad_style():
        _outside().savefig(content, format="svg")
    assert "role-" not in content.getvalue()
    assert "<title>" not in content.getvalue()
