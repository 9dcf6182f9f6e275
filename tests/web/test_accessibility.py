"""Pages by axe-core, which comes with its package and asks for nothing: no serious or critical finding."""

from __future__ import annotations

import pytest

import planted
import planted_trace
from firstgrad.columns import samples_table
from firstgrad.growth.series import release_axis
from firstgrad.show.overview import make_overview
from firstgrad.show.page import Page, Section, render_page
from firstgrad.show.profiles import profile_page
from firstgrad.show.result import Text
from firstgrad.show.series import make_page
from firstgrad.show.trace_page import trace_page

axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed: pip install it"
)
BAD = {"serious", "critical"}


def _profile():
    from unit.test_profile_lines import lined_profile  # its source has lines

    return profile_page(lined_profile(), top=10)


def _report():
    records = planted.a_sweep()
    return make_overview(samples_table(records), lambda ids: [one for one in records if one.record_id in ids])


def _releases():
    records = planted.along_releases()
    return make_page(records, release_axis(records))


def _unreadable():
    """A page into which is put what must be found."""
    return Page(title="", facts=(), sections=(Section("one", "One", (Text("words"),)),))


PAGES = {
    "report": _report,
    "releases": _releases,
    "trace": lambda: trace_page(planted_trace.large()),
    "profile": _profile,
    "unreadable": _unreadable,
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Write the pages; returns their addresses."""
    folder = tmp_path_factory.mktemp("pages")
    addresses = {}
    for name, make in PAGES.items():
        path = folder / f"{name}.html"
        text = render_page(make())
        if name == "unreadable":
            text = text.replace("words", '<img src="data:,"><span style="color:#ccc;background:#fff">pale</span>')
        path.write_text(text, encoding="utf-8")
        addresses[name] = path.as_uri()
    return addresses


def findings(page):
    """What axe-core finds that is serious or worse: its rule, and the first place."""
    found = axe.Axe().run(page).response["violations"]
    return [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in BAD]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["report", "releases", "trace", "profile"])
def test_no_page_has_a_serious_finding(opened, name, scheme):
    page = opened(name, scheme=scheme, width=1280)
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    row = page.locator(".sortable tr[id] a").first
    if row.count():
        row.click()  # what opens below it is looked at, too
    assert findings(page) == []


def test_what_is_serious_is_found(opened):
    assert {rule for rule, _ in findings(opened("unreadable"))} >= {"color-contrast", "image-alt"}
