"""The page in a real browser: every figure is there in dark and light, nothing is asked for, nothing complains."""

from __future__ import annotations

import functools
import http.server
import re
import threading
from contextlib import suppress

import pytest

import planted
from firstgrad.growth.series import commit_axis, release_axis
from firstgrad.show.page import render_page
from firstgrad.show.series import make_page


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without a line on standard error for each request."""

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Serve the pages of commits and releases; yields their address."""
    folder = tmp_path_factory.mktemp("pages")
    commits = planted.along_commits() + planted.hostile()
    order = {digest: f"subject {digest[0]}" for digest in planted.COMMITS}
    releases = planted.along_releases()
    for name, records, axis in (
        ("commits", commits, commit_axis(commits, order)),
        ("releases", releases, release_axis(releases)),
    ):
        (folder / f"{name}.html").write_text(render_page(make_page(records, axis)), encoding="utf-8")
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(params=["light", "dark"])
def opened(request, browser, served):
    """Open a page in a colour scheme; what it asked for and complained about is checked at the end."""
    context = browser.new_context(color_scheme=request.param, viewport={"width": 1200, "height": 900})
    asked, complaints = [], []

    def open_page(name):
        page = context.new_page()
        page.on("request", lambda each: asked.append(each.url))
        page.on("console", lambda each: complaints.append(each.text) if each.type in ("error", "warning") else None)
        page.on("pageerror", lambda each: complaints.append(str(each)))
        page.on("dialog", lambda each: complaints.append(each.message))
        page.goto(f"{served}/{name}.html", wait_until="networkidle")
        return page

    open_page.scheme = request.param
    yield open_page
    with suppress(Exception):  # the assertions below say more than a browser that is gone
        context.close()
    assert {url for url in asked if not url.startswith("data:")} <= {
        f"{served}/{name}.html" for name in ("commits", "releases")
    }
    assert complaints == []


@pytest.mark.parametrize(("name", "figures"), [("commits", 5), ("releases", 6)])
def test_every_figure_is_seen(opened, name, figures):
    page = opened(name)
    found = page.locator("svg.figure")
    assert found.count() >= figures
    for number in range(found.count()):
        figure = found.nth(number)
        figure.scroll_into_view_if_needed()
        assert figure.is_visible()
        box = figure.bounding_box()
        assert min(box["width"], box["height"]) > 100
        assert figure.get_attribute("aria-label")


def test_texts_stand_out_from_the_page_in_both_schemes(opened):
    page = opened("commits")
    back = brightness(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (back > 200) if opened.scheme == "light" else (back < 60)
    for place in ("body", "h1", "td", "a", ".bad", "svg.figure text", "figcaption"):
        value = "fill" if "svg" in place else "color"
        ink = page.evaluate(f"getComputedStyle(document.querySelector('{place}')).{value}")
        assert abs(brightness(ink) - back) > 80, place


def test_numbers_fold_out_and_links_lead_to_their_sections(opened):
    page = opened("commits")
    assert page.get_by_text("3.25 s [3.00 s, 3.50 s]").first.is_visible()
    memory = page.locator("#metric-peak_memory")
    numbers = memory.get_by_text("325 MiB [300 MiB, 350 MiB]").first
    assert not numbers.is_visible()
    memory.get_by_text("The numbers").click()
    assert numbers.is_visible()
    page.get_by_role("link", name="Failures").click()
    assert page.locator("#failures h2").bounding_box()["y"] < 900


def test_a_narrow_window_scrolls_figures_and_tables_and_not_the_page(opened):
    page = opened("releases")
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_hostile_names_are_shown_and_do_nothing(opened):
    page = opened("commits")
    assert page.locator("script").count() == 1
    assert page.locator("img, iframe").count() == 0
    assert page.get_by_text(planted.HOSTILE, exact=True).count() > 0


def brightness(colour):
    red, green, blue = map(float, re.findall(r"[\d.]+", colour)[:3])
    return 0.3 * red + 0.59 * green + 0.11 * blue
